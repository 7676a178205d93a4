"""Digests of what each step of a training depends on and computes (the setting `digests`), written to RUN/digests.bin.

Read `recorder.py` first: its callback collects rows. `tensors.py` names the tensors, `functions.py` computes the
digests, and `project/core/digest_file.py` knows the form of the file.
"""
