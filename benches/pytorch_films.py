#!/usr/bin/env python3
"""Films from their bytes to the clip that a network takes, by PyAV or torchcodec (the one argument) and torchvision, on one thread: the requests and answers of
`benches/films/mod.rs` for `benches/video.py`.

    clip FILE FRAMES SIDE COUNT again|new      {"seconds": [..]}   of the processor's time
"""
import io
import json
import sys
import time
from pathlib import Path

import torch
from torchvision.transforms.v2 import functional as F

torch.set_num_threads(1)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def uniform(frames, count):
    return [min(int((part + 0.5) * count / frames), count - 1) for part in range(frames)]


def by_pyav(data, frames):
    """The frames that are wanted; counted by demuxing first, as the hub does, since headers lie."""
    import av

    with av.open(io.BytesIO(data)) as film:
        count = sum(packet.size > 0 for packet in film.demux(film.streams.video[0]))
    wanted = set(uniform(frames, count))
    found = []
    with av.open(io.BytesIO(data)) as film:
        stream = film.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for number, frame in enumerate(film.decode(stream)):
            if number in wanted:
                found.append(torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1))
                if len(found) == len(wanted):
                    break
    return torch.stack(found)


def by_torchcodec(data, frames):
    from torchcodec.decoders import VideoDecoder

    film = VideoDecoder(data, num_ffmpeg_threads=1, seek_mode="exact")
    return film.get_frames_at(uniform(frames, len(film))).data


def clip(read, data, frames, side):
    shown = F.resize(read(data, frames), round(side / 0.875), antialias=True)
    shown = F.center_crop(shown, [side, side]).float().div(255)
    return F.normalize(shown, MEAN, STD).permute(1, 0, 2, 3)


def main():
    read = {"pyav": by_pyav, "torchcodec": by_torchcodec}[sys.argv[1]]
    for line in sys.stdin:
        _, file, frames, side, count, _ = line.split()
        data, seconds = Path(file).read_bytes(), []
        for _ in range(int(count)):
            began = time.process_time()
            clip(read, data, int(frames), int(side))
            seconds.append(time.process_time() - began)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
