"""Starts llama.cpp's own server on loopback: a real endpoint that nobody here wrote.

    pip install xllamacpp
    python3 scripts/llama_server.py "$(cargo run -q -p gradus-gguf --example fetch)"

Prints the URL once the model is loaded, and serves until Ctrl-C.
Without xllamacpp: one line that says so, and exit code 0.
"""

import argparse
import sys
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description="llama.cpp's OpenAI-compatible server on loopback")
    parser.add_argument("gguf", help="model file")
    parser.add_argument("--port", type=int, default=8012)
    parser.add_argument("--parallel", type=int, default=8, help="sequences at once")
    parser.add_argument("--context", type=int, default=1024, help="tokens of each sequence")
    parser.add_argument("--threads", type=int, default=1, help="several only on idle cores: they wait for each other")
    arguments = parser.parse_args()
    try:
        import xllamacpp
    except ImportError:
        print("skipped: xllamacpp is not installed (pip install xllamacpp)")
        return
    params = xllamacpp.CommonParams()
    params.model.path = arguments.gguf
    params.model_alias = {Path(arguments.gguf).stem}
    params.hostnames = ["127.0.0.1"]
    params.port = arguments.port
    params.n_parallel = arguments.parallel
    params.n_ctx = arguments.parallel * arguments.context
    params.kv_unified = False
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    params.cpuparams.poll = 0
    params.cpuparams_batch.poll = 0
    params.n_gpu_layers = 0
    params.use_jinja = True
    params.warmup = False
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
