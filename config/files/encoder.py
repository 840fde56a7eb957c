"""Encodes one picture of the screen as Selkies does: encoder.py CODEC NODE WIDTH HEIGHT

The last line of the output is JSON: `encoder` is what has encoded the picture (NVENC, VAAPI, or a library for the CPU),
`hardware` says whether that was a GPU, and `reason` why it was not. `error` alone means that nothing could be tried.
desktopd runs this file with the Python of Selkies, before the stream starts. An empty NODE leaves the choice of the GPU
to pixelflux.
"""

import json
import os
import sys
import threading

# Seconds until a picture must be there. desktopd waits a little longer.
LIMIT = 8


def attempt(codec, node, width, height):
    import pixelflux

    settings = pixelflux.CaptureSettings()
    settings.capture_width, settings.capture_height = width, height
    settings.target_fps = 30.0
    settings.codec = codec
    settings.video_fullframe = True
    settings.capture_cursor = False
    # The same settings that Selkies makes of SELKIES_ENCODE_DRI and SELKIES_AUTO_GPU.
    settings.auto_gpu = "true"
    if node:
        settings.encode_node_path = node.encode()
        settings.encode_node_index = int(node.removeprefix("/dev/dri/renderD")) - 128
    came = threading.Event()
    capture = pixelflux.ScreenCapture()
    capture.start_capture(lambda picture: len(picture) and came.set(), settings)
    if not came.wait(LIMIT):
        return {"encoder": "", "hardware": False, "reason": f"no picture was encoded within {LIMIT} s"}
    # After the picture: an encoder that fails is replaced by the CPU.
    info = capture.stream_info() or {}
    return {
        "encoder": str(info.get("encoder", "")),
        "hardware": bool(info.get("hardware")),
        "reason": str(info.get("encoder_reason", "")),
    }


def main():
    # pixelflux and the drivers print to standard output, too.
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        codec, node, width, height = sys.argv[1:]
        found = attempt(codec, node, int(width), int(height))
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    os.write(answer, (json.dumps(found) + "\n").encode())
    # Without the clean-up of the drivers, which may hang.
    os._exit(0)


main()
