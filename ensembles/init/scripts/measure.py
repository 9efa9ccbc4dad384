"""Measures a text: how many words it has, and which paragraphs."""

import json
import sys

asked = json.load(sys.stdin)  # {"input": ..., "parameters": ..., "dependencies": ..., "item": ..., "variables": ...}
text = asked["input"]
longest = asked["parameters"]["paragraphs"]

paragraphs = [" ".join(block.split()) for block in text.split("\n\n") if block.strip()]
json.dump({"words": len(text.split()), "paragraphs": paragraphs[:longest]}, sys.stdout, ensure_ascii=False)
