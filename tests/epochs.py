"""An epoch of a training, for tests of what shows it."""

EPOCH = {
    "epoch": 7,
    "stage": 2,
    "loss": 0.25,
    "active_triplets": 0.5,
    "seconds": 1.5,
    "val_map_audio_to_visual": 0.61,
    "val_map_visual_to_audio": 0.59,
}
