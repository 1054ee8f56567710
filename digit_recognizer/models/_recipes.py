"""Recipes that several presets share.

Chosen among few: one seed, `train --epochs 5 --limit-train 10000 --batch-size 64 --precision bfloat16`, 2,000 rows held
out, of which 1 % is 20 rows. Accuracies by recipe, where a dash was not tried:

                 adam 0.001  adam 0.003  muon 0.02  muon 0.05
    lenet5           0.9270      0.9600     0.9855     0.9765  (with tanh)
    alexnet          0.9805      0.9850     0.1124     0.1124
    resnet           0.9745      0.9855     0.9925     0.9930
    narrow           0.9300      0.9595     0.9805     0.9850
    wide             0.9710      0.9810     0.9795          -
    journal          0.9755      0.9805     0.9870          -
    convolutional         -      0.9665     0.9735          -

AlexNet's five convolutions, without normalisation, do not begin to learn under muon at these rates.
"""

from typing import Any

ADAM: dict[str, Any] = {"epochs": 15, "learning_rate": 3e-3}
MUON: dict[str, Any] = {
    "epochs": 15,
    "optimizer": "muon",
    "learning_rate": 0.02,
    "weight_decay": 0.1,
    "label_smoothing": 0.1,
}
FAST_MUON: dict[str, Any] = {**MUON, "learning_rate": 0.05}
