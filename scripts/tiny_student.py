"""A student so small that it trains on a CPU in seconds: a llama of two layers with weights at random.

    python scripts/tiny_student.py OUT [FILE ...]

Its tokenizer is byte-level BPE trained on the text of the files (the built-in bank if none is named), so nothing is
fetched. OUT is a folder as the hub has them: config.json, model.safetensors, tokenizer.json, chat template. Needs torch
and transformers.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BANK = Path(__file__).resolve().parents[1] / "crates/gradus-cli/bank/quickstart.jsonl"

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"

# Keeps thinking parts, and a prompt is the beginning of the whole.
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer_of(files: list[Path], n_tokens: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((file.read_text() for file in files), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, chat_template=TEMPLATE, model_max_length=4096
    )


def model_of(tokenizer: PreTrainedTokenizerFast, width: int, layers: int, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=max(1, width // 64),
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("files", type=Path, nargs="*", help="text that the tokenizer is trained on")
    parser.add_argument("--tokens", type=int, default=1024, help="size of the vocabulary (%(default)s)")
    parser.add_argument("--width", type=int, default=128, help="a multiple of 64 (%(default)s)")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tokenizer = tokenizer_of(args.files or [BANK], args.tokens)
    tokenizer.save_pretrained(args.out)
    model_of(tokenizer, args.width, args.layers, args.seed).save_pretrained(args.out)


if __name__ == "__main__":
    main()
