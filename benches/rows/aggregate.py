"""The arithmetic of the earlier system, as row 10 is measured against: plain floats, in the order of arrival.

Arguments: a file with the hotkeys, then one file with the body of each challenge. Prints the seconds that
parsing took, those that the computation took, and the number of weights.
"""

import json
import sys
import time

with open(sys.argv[1]) as file:
    uids = {hotkey: uid for uid, hotkey in enumerate(json.load(file))}
bodies = []
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        bodies.append(file.read())

began = time.perf_counter()
replies = [json.loads(body) for body in bodies]
parsed = time.perf_counter()

share = 1.0 / len(replies)
scores = {}
for reply in replies:
    weights = {hotkey: weight for hotkey, weight in reply["weights"].items() if weight > 0}
    total = sum(weights.values())
    if total <= 0:
        continue
    for hotkey, weight in weights.items():
        scores[hotkey] = scores.get(hotkey, 0.0) + share * (weight / total)
given = {}
for hotkey, score in scores.items():
    uid = uids.get(hotkey)
    if uid:
        given[uid] = given.get(uid, 0.0) + score
total = sum(given.values())
vector = {uid: given[uid] / total for uid in sorted(given)}
computed = time.perf_counter()
print(parsed - began, computed - parsed, len(vector))
