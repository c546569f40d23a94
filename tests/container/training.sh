# The training image: a short run on generated images, without a network.
files+=(-f compose.training.yaml)
export TRAINING_DATA=$scratch/drawn RUNS=$scratch/runs
mkdir -p "$TRAINING_DATA"/{NORMAL,PNEUMONIA} "$RUNS" && chmod 777 "$RUNS"
export REVISION=of-this-check # an image without one says "unknown", and so would a run
began=$(seconds)
check "build" dc build training
echo "      built in $(since "$began"); image $(size xray-training:0.1.0) MB with its base"
docker run --rm -u 0 -v "$TRAINING_DATA:/drawn" --entrypoint python3 "$image" -c '
import random
from PIL import Image, ImageDraw
for kind, name in (("NORMAL", "IM-{:04}-0001.jpeg"), ("PNEUMONIA", "person{}_virus_1.jpeg")):
    for number in range(1, 31):
        picture = Image.effect_noise((240, 220), 20 + number)
        if kind == "PNEUMONIA":
            ImageDraw.Draw(picture).ellipse((60, 60, 120 + number, 160), fill=240)
        picture.save(f"/drawn/{kind}/" + name.format(number))'
check "trains" dc run --rm training train --architecture baseline --epochs 1 --out mine
check "evaluates" dc run --rm training evaluate mine --json
check "labelled with the revision" [ "$(docker image inspect -f '{{index .Config.Labels "org.opencontainers.image.revision"}}' xray-training:0.1.0)" = "$REVISION" ]
check "a run knows the revision it was built from" grep -q "$REVISION" "$RUNS/mine/environment.json"
unset TRAINING_DATA RUNS REVISION
