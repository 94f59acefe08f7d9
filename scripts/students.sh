#!/bin/sh
# Recorded students of several sizes on one benchmark: pass@1 of each with its interval, then pairs of them compared.
# usage: scripts/students.sh FOLDER_OF_DATA math5|gsm8k OUT
# GRADUS names the command (default: gradus).
set -eu
data=$1
set_name=$2
out=$3
gradus=${GRADUS:-gradus}
case $set_name in
math5)
    bank=math_test recording=math_l5_zeroeval
    models="Qwen/Qwen2.5-3B-Instruct Qwen/Qwen2.5-7B-Instruct Qwen/Qwen2.5-32B-Instruct Qwen/Qwen2.5-72B-Instruct
        meta-llama/Meta-Llama-3.1-8B-Instruct meta-llama/Meta-Llama-3.1-70B-Instruct
        google/gemma-2-2b-it google/gemma-2-9b-it google/gemma-2-27b-it"
    pairs="Qwen2.5-3B-Instruct:Qwen2.5-7B-Instruct Qwen2.5-7B-Instruct:Qwen2.5-72B-Instruct
        Qwen2.5-32B-Instruct:Qwen2.5-72B-Instruct Qwen2.5-3B-Instruct:Qwen2.5-72B-Instruct
        Meta-Llama-3.1-8B-Instruct:Meta-Llama-3.1-70B-Instruct gemma-2-2b-it:gemma-2-9b-it gemma-2-9b-it:gemma-2-27b-it
        Qwen2.5-3B-Instruct:gemma-2-2b-it Qwen2.5-7B-Instruct:Meta-Llama-3.1-8B-Instruct
        Qwen2.5-7B-Instruct:gemma-2-9b-it Qwen2.5-72B-Instruct:Meta-Llama-3.1-70B-Instruct
        Meta-Llama-3.1-8B-Instruct:gemma-2-9b-it Qwen2.5-32B-Instruct:gemma-2-27b-it"
    ;;
gsm8k)
    bank=gsm8k_test recording=gsm8k_zeroeval
    models="Qwen/Qwen2-7B-Instruct Qwen/Qwen2-72B-Instruct
        meta-llama/Meta-Llama-3.1-8B-Instruct meta-llama/Meta-Llama-3.1-70B-Instruct
        google/gemma-2-2b-it google/gemma-2-9b-it google/gemma-2-27b-it@together"
    pairs="Qwen2-7B-Instruct:Qwen2-72B-Instruct Meta-Llama-3.1-8B-Instruct:Meta-Llama-3.1-70B-Instruct
        gemma-2-2b-it:gemma-2-9b-it gemma-2-9b-it:gemma-2-27b-it@together Qwen2-7B-Instruct:Meta-Llama-3.1-8B-Instruct
        Qwen2-72B-Instruct:Meta-Llama-3.1-70B-Instruct Meta-Llama-3.1-8B-Instruct:gemma-2-9b-it"
    ;;
*)
    echo "math5 or gsm8k, not $set_name" >&2
    exit 2
    ;;
esac
if [ ! -e "$data/recordings/$recording.jsonl.zst" ]; then
    echo "skipped: $data has no $recording"
    exit 0
fi
for model in $models; do
    "$gradus" evaluate --quiet --model "replay:$data/recordings/$recording.jsonl.zst#$model" \
        --bank "$data/questions/$bank.jsonl.zst" --run-dir "$out/asked" --out "$out/$(basename "$model")" >/dev/null
    sed -n 3p "$out/$(basename "$model")/table.md"
done
for pair in $pairs; do
    echo
    "$gradus" compare "$out/${pair%%:*}" "$out/${pair##*:}"
done
