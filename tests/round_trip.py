"""Token log-probabilities by transformers and PEFT of what `tests/round_trip.rs` has saved.

    python -B tests/round_trip.py cases.json > answers.json

A case is a whole model in `folder`, or that with the adapter in `adapter`, which is scored as it is and merged.
"""

import json
import sys
import warnings

import peft
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder):
    """The model, and the keys that it lacks, or has no place for, or has in other shapes."""
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    return model.eval(), {name: sorted(map(str, keys)) for name, keys in info.items() if keys}


@torch.inference_mode()
def log_probs(model, rows):
    """Of each token but the first of its row, in nats."""
    answers = []
    for row in rows:
        ids = torch.tensor([row])
        log_p = torch.log_softmax(model(ids).logits[0, :-1].double(), dim=-1)
        answers.append(log_p.gather(1, ids[0, 1:, None])[:, 0].tolist())
    return answers


def answer(case, texts, rows):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # of what will change in later versions
        warnings.simplefilter("always", UserWarning)
        model, info = load(case["folder"])
        tokenizer = AutoTokenizer.from_pretrained(case["adapter"] or case["folder"])
        scores = {}
        if case["adapter"] is None:
            scores["whole"] = log_probs(model, rows)
        else:
            adapted = peft.PeftModel.from_pretrained(model, case["adapter"]).eval()
            scores["adapted"] = log_probs(adapted, rows)
            scores["merged"] = log_probs(adapted.merge_and_unload(), rows)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    said = [str(warning.message) for warning in caught]
    return {"loading": info, "warnings": said, "ids": ids, "bos_token_id": tokenizer.bos_token_id, "scores": scores}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    torch.use_deterministic_algorithms(True)
    answers = {case["name"]: answer(case, asked["texts"], asked["rows"]) for case in asked["cases"]}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
