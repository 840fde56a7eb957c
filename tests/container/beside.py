# Run in the container: plays a tone of HERTZ and prints the first FRAMES frames of sound that Selkies sends at its own
# port, one a line.
import array, asyncio, base64, math, pwd, subprocess, sys, tempfile

import aiohttp

FRAMES, HERTZ = int(sys.argv[1]), int(sys.argv[2])
RATE, SECONDS = 48000, 60
PLAY = ["pacat", f"--rate={RATE}", "--channels=2", "--format=s16le"]


def tone():
    file = tempfile.TemporaryFile()
    samples = RATE // HERTZ
    wave = (int(12000 * math.sin(2 * math.pi * n / samples)) for n in range(samples))
    file.write(array.array("h", [value for sample in wave for value in (sample, sample)]).tobytes() * HERTZ * SECONDS)
    file.seek(0)
    runtime = f"/run/user/{pwd.getpwnam('user').pw_uid}"
    return subprocess.Popen(PLAY, stdin=file, user="user", env={"PATH": "/usr/bin", "XDG_RUNTIME_DIR": runtime})


async def listen(socket):
    player, heard = tone(), 0
    try:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY and message.data[0] == 1:
                print(base64.b64encode(message.data).decode())
                heard += 1
                if heard == FRAMES:
                    return
    finally:
        player.kill()
        player.wait()


async def main():
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.ws_connect("http://127.0.0.1:16100/api/websockets", max_msg_size=0) as socket:
                # Selkies closes a stream that comes too soon after another one.
                if (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    return await listen(socket)
            await asyncio.sleep(0.2)


asyncio.run(asyncio.wait_for(main(), 60))
