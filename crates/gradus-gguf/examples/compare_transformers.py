# What `transformers` makes of a GGUF file in f32, for the example `compare` to hold against the embedded engine.
#
#     pip install torch transformers accelerate gguf
#     python3 compare_transformers.py chat MODEL.gguf BANK.jsonl > chat.jsonl
#     python3 compare_transformers.py text MODEL.gguf TEXT > text.jsonl
#     python3 compare_transformers.py random KIND OUT.gguf > random.jsonl
#     python3 compare_transformers.py random KIND FOLDER > random.jsonl
#     cargo run --release -p gradus-gguf --example compare -- MODEL.gguf f32 chat.jsonl
#     python3 compare_transformers.py measure KIND OUT.gguf > measure.jsonl
#     cargo run --release -p gradus-gguf --example measure -- OUT.gguf f32 measure.jsonl
#
# `chat`: questions of a bank in the model's chat template, and its own greedy answers. `text`: pieces of a text file.
# `random`: writes a small model with random weights (Q8_0) as a GGUF file; the reference is the model the file was made
# of, so what `transformers` reads of GGUF plays no part. With a folder, it is written as training does: safetensors in
# BF16, in several files, with config and tokenizer. `measure`: the same with such a model, but for chains of thought of
# random words: how likely each is behind its question, and each of its sentences behind the question and a few others.
# With `--half-cache`, keys and values are rounded to half precision, in which the engine holds them. With `--double`,
# everything else is computed in f64.

import argparse
import json
import random
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, LlamaConfig, Qwen2Config, Qwen3Config

SIZES = {"vocab_size": 320, "intermediate_size": 224, "num_hidden_layers": 3, "max_position_embeddings": 2048}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
KINDS = {
    "qwen2": lambda: Qwen2Config(
        **SIZES, hidden_size=128, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "qwen2-untied": lambda: Qwen2Config(
        **SIZES, hidden_size=448, num_attention_heads=7, num_key_value_heads=1, tie_word_embeddings=False,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "qwen3": lambda: Qwen3Config(
        **SIZES, hidden_size=128, num_attention_heads=6, num_key_value_heads=3, head_dim=64, tie_word_embeddings=True,
        rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "llama": lambda: LlamaConfig(
        **SIZES, hidden_size=480, num_attention_heads=15, num_key_value_heads=5, tie_word_embeddings=False,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 100000.0}),
    "llama3": lambda: LlamaConfig(
        **SIZES, hidden_size=96, num_attention_heads=3, num_key_value_heads=1, tie_word_embeddings=True,
        rms_norm_eps=1e-5, rope_parameters=LLAMA3),
}
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

if find_spec("gguf"):
    import gguf


TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" \
    "{% if add_generation_prompt %}assistant:{% endif %}"
WORDS = "the other path leads north with both ships so we add 12 and 7 then think about 3 of them".split()
# Ranks count as this at most: arXiv 2601.14249.
RANK_CLIP = 100


class HalfCache(DynamicCache):
    def update(self, keys, values, *rest, **more):
        return super().update(keys.half().to(keys.dtype), values.half().to(values.dtype), *rest, **more)


def main():
    parser = argparse.ArgumentParser(description="what `transformers` makes of a GGUF file, as JSONL")
    parser.add_argument("what", choices=["chat", "text", "random", "measure"])
    parser.add_argument("model", help="GGUF file; one of " + ", ".join(KINDS) + " for `random`, `measure`")
    parser.add_argument("file", help="bank, text, or the GGUF file or folder to be written")
    parser.add_argument("--pieces", type=int, default=8, help="questions or pieces of text")
    parser.add_argument("--tokens", type=int, default=96, help="most tokens of an answer; four times as many of a text")
    parser.add_argument("--half-cache", action="store_true", help="keys and values in half precision")
    parser.add_argument("--double", action="store_true", help="f64 instead of f32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    if arguments.what == "measure":
        return measure(arguments)
    if arguments.what == "random":
        config = KINDS[arguments.model]()
        is_folder = not arguments.file.endswith(".gguf")
        model = random_model(config, as_bf16 if is_folder else as_q8_0)
        if is_folder:
            write_folder(model, config, Path(arguments.file))
        else:
            write(model, config, arguments.file)
        size = (1, 4 * arguments.tokens)
        pieces = [(None, torch.randint(0, config.vocab_size, size)) for _ in range(arguments.pieces)]
    else:
        path = Path(arguments.model)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
        if arguments.what == "chat":
            pieces = chats(model, tokenizer, arguments)
        else:
            pieces = texts(tokenizer, arguments)
    for text, tokens in list(pieces):
        if arguments.double:
            model.double()
        with torch.no_grad():
            cache = HalfCache() if arguments.half_cache else DynamicCache()
            logits = model(tokens, past_key_values=cache).logits[0].double()
        logprobs = logits[:-1].log_softmax(-1)
        own = logprobs.gather(1, tokens[0, 1:, None])[:, 0]
        row = {"tokens": tokens[0].tolist(), "logprobs": own.tolist(), "likeliest": logprobs.argmax(-1).tolist()}
        print(json.dumps(row if text is None else {"text": text, **row}), flush=True)


def measure(arguments):
    config = KINDS[arguments.model]()
    model = random_model(config)
    write(model, config, arguments.file)
    words = random.Random(1)
    for piece in range(arguments.pieces):
        def sentence():
            return " ".join(words.choice(WORDS) for _ in range(words.randint(3, 12)))

        question = sentence() + "?"
        steps = ["<think>\n"] + [sentence() + ". " for _ in range(words.randint(4, 12))] + ["\n</think>\n\n", sentence()]
        context = piece % 5
        prompt, behind = bytes_to_tokens(f"user: {question}\nassistant:"), [bytes_to_tokens(step) for step in steps]
        logprobs, ranks = scores(model, prompt, sum(behind, []), arguments)
        means = []
        for at, step in enumerate(behind):
            seen = sum(behind[max(0, at - context):at], [])
            means.append(scores(model, prompt + seen, step, arguments)[0].mean().item())
        completion, ends = "".join(steps), []
        for step in steps:
            ends.append(len(step) + (ends[-1] if ends else 0))
        print(json.dumps({
            "messages": [{"role": "user", "content": question}], "completion": completion, "ends": ends,
            "context": context, "n_tokens": len(logprobs), "mean_nll": -logprobs.mean().item(),
            "rsr": ranks.clamp(max=RANK_CLIP).sum().item() / -logprobs.sum().item(),
            "naturalness": sum(means) / len(means),
        }), flush=True)


def scores(model, before, tokens, arguments):
    """Log-probabilities and ranks of tokens behind others."""
    model = model.double() if arguments.double else model
    with torch.no_grad():
        cache = HalfCache() if arguments.half_cache else DynamicCache()
        logits = model(torch.tensor([before + tokens]), past_key_values=cache).logits[0].double()
    logprobs = logits[len(before) - 1:-1].log_softmax(-1)
    own = logprobs.gather(1, torch.tensor(tokens)[:, None])
    return own[:, 0], 1 + (logprobs > own).sum(1)


def bytes_to_tokens(text):
    """Tokens of a text in the vocabulary that `write` gives a file: bytes, and `th` as one."""
    pieces = text.encode().replace(b"th", b"\xff")
    return [256 if byte == 0xff else byte for byte in pieces]


def chats(model, tokenizer, arguments):
    with open(arguments.file) as bank:
        questions = [json.loads(line)["question"] for line, _ in zip(bank, range(arguments.pieces))]
    for question in questions:
        messages = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        tokens = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        answer = model.generate(**tokens, max_new_tokens=arguments.tokens, do_sample=False)[0]
        # The tokens of the whole text, which need not be those that the model wrote.
        text = tokenizer.decode(answer)
        yield text, tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids


def texts(tokenizer, arguments):
    text = Path(arguments.file).read_text()
    size = 16 * arguments.tokens
    for at in range(0, min(len(text), arguments.pieces * size), size):
        piece = text[at:at + size]
        yield piece, tokenizer(piece, return_tensors="pt", add_special_tokens=False).input_ids[:, :4 * arguments.tokens]


def as_q8_0(weights):
    packed = gguf.quants.quantize(weights.numpy(), gguf.GGMLQuantizationType.Q8_0)
    return torch.from_numpy(gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0))


def as_bf16(weights):
    return weights.bfloat16().float()


def random_model(config, rounded):
    """Weights large enough that attention and logits are far from even, and such as the file can hold."""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, weights in model.named_parameters():
        if weights.dim() == 2:
            weights.data.normal_(0, 1.5 / config.hidden_size ** 0.5)
            weights.data.copy_(rounded(weights.data))
        elif name.endswith("bias"):
            weights.data.copy_(as_bf16(weights.data.normal_(0, 0.5)))
        else:
            weights.data.copy_(as_bf16(weights.data.normal_(1, 0.1)))
    return model


def vocabulary(config):
    """Bytes, one merge, and control tokens up to the size."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    tokens = [chr(byte if byte in printable else next(others)) for byte in range(256)] + ["th"]
    return tokens, [f"<|{i}|>" for i in range(len(tokens), config.vocab_size)]


def write_folder(model, config, folder):
    from copy import deepcopy

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    deepcopy(model).bfloat16().save_pretrained(folder, max_shard_size="500KB")
    tokens, control = vocabulary(config)
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [("t", "h")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(control)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": control[-1]}))


def write(model, config, path):
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_name("Random")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if config.model_type == "qwen3":
        writer.add_key_length(head)
        writer.add_value_length(head)
    if config.model_type == "llama":
        writer.add_rope_dimension_count(head)
    if config.rope_parameters["rope_type"] == "llama3":
        plain = config.rope_parameters["rope_theta"] ** -(torch.arange(0, head, 2).float() / head)
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq).numpy())
    tokens, control = vocabulary(config)
    kinds = [gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.CONTROL] * len(control)
    tokens += control
    writer.add_chat_template(TEMPLATE)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(config.vocab_size - 1)
    for name, weights in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, kind = name.rpartition(".")
        if stem.startswith("model.layers."):
            _, _, layer, part = stem.split(".", 3)
            stem = f"blk.{layer}.{NAMES[part]}"
        else:
            stem = NAMES[stem]
        if config.model_type == "llama" and stem.endswith(("attn_q", "attn_k")):
            # Pairs of a rotation are neighbours in llama's files, and halves in `transformers`.
            weights = weights.view(-1, 2, head // 2, weights.shape[1]).transpose(1, 2).reshape(weights.shape)
        weights = weights.contiguous().numpy()
        if weights.ndim == 2:
            packed = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(f"{stem}.{kind}", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(f"{stem}.{kind}", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
