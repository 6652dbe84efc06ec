#!/usr/bin/env bash
# What the README's table of attacks was made by: a refusal-tuned base, C-AdvIPO and MixAT on top of it with the same
# sizes, and one suite over all three. Half an hour to an hour on two cores; the same command goes on where it stopped.
#
#   docs/suite/run.sh FOLDER     leaves results.json and useful.json (the table's sources), results.jsonl (every case) and
#                                report.html
set -euo pipefail

mkdir -p "${1:?say which folder is to hold the models and the results}"
cd "$1"

[ -e base ] || ln -s "$(trued align base --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["folder"])')" base
sizes=(--model base --fit.steps 20 --fit.batch-size 8 --fit.lr 6e-4 --lora-r 16 --lora-alpha 32)
attack=(--adversarial-share 0.5 --attack.steps 4 --attack.relative-lr)

train() { # METHOD [OPTION...]: unless its adapter is there; what was cut off goes on
  [ -f "$1/adapter_config.json" ] || trued align "$1" --output "$1" "${sizes[@]}" "${attack[@]}" "${@:2}" \
    $([ -d "$1" ] && echo --resume)
}
train c-advipo --loss.utility-weight 1
train mixat

trued attack suite --model base --model c-advipo --model mixat --limit 16 --max-new-tokens 32 \
  --attacks direct,templates,prefill,pap,pair-lite,gcg --templates.count 10 --gcg.steps 12 \
  --output results.jsonl --report report.html --json > results.json

for model in base c-advipo mixat; do # what the attacks do not show: does it still answer what is harmless?
  [ -s "check-$model.json" ] || trued check "$model" --attacks direct --harmful 2 --attacked 2 --max-new-tokens 32 \
    --json > "check-$model.json"
done
python3 - > useful.json << 'END'
import json

found = {}
for model in ("base", "c-advipo", "mixat"):
    with open(f"check-{model}.json", encoding="utf-8") as file:
        check = json.load(file)
    metrics = [metric for metric in check["metrics"] if metric["group"] == "harmless requests refused"]
    found[model] = {"judge": check["protocol"]["judge"], "metrics": metrics}
print(json.dumps(found, indent=1))
END
