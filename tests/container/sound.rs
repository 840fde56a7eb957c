//! Sound: the frames that Selkies sends are the same through the gateway as at Selkies' own port, and are the tone that
//! a program played.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::browser::Browser;
use crate::docker::Container;
use crate::wire::{self, Wire};

/// How many frames of 10 ms have to be received at Selkies' own port.
const FRAMES: usize = 150;

/// The tone's frequency; its period is a whole number of samples.
const HERTZ: f64 = 480.0;

/// Plays a tone and prints the frames that arrive in the container.
const BESIDE: &str = include_str!("beside.py");

/// Decodes the frames, and measures the period of most waves: a busy machine leaves gaps between some. The two bytes
/// before the sound are the frame's type; a frame without sound is a marker.
const DECODE: &str = "
    const frames = arguments[0].map(text => Uint8Array.from(atob(text), char => char.charCodeAt(0)));
    return (async () => {
        let samples = 0, squares = 0, last = 0, start = 0, rate = 0, problem = '';
        const waves = [];
        const decoder = new AudioDecoder({
            output: (sound) => {
                const left = new Float32Array(sound.numberOfFrames);
                sound.copyTo(left, { planeIndex: 0, format: 'f32-planar' });
                for (const value of left) {
                    samples += 1;
                    squares += value * value;
                    if (last < 0 && value >= 0) {
                        waves.push(samples - start);
                        start = samples;
                    }
                    last = value;
                }
                rate = sound.sampleRate;
                sound.close();
            },
            error: (error) => { problem = String(error); },
        });
        decoder.configure({ codec: 'opus', sampleRate: 48000, numberOfChannels: 2 });
        frames.forEach((frame, index) => {
            const chunk = { type: 'key', timestamp: index * 10000, data: frame.subarray(2) };
            if (frame.length > 2) decoder.decode(new EncodedAudioChunk(chunk));
        });
        await decoder.flush();
        const wave = waves.sort((one, other) => one - other)[Math.floor(waves.length / 2)];
        return { problem, seconds: samples / rate, hertz: rate / wave, loud: Math.sqrt(squares / samples) };
    })();";

#[tokio::test]
async fn a_tone_is_the_same_as_from_selkies_directly() {
    let stack = wire::start().await;
    let cookie = wire::cookie(&stack).await;
    let mut wire = Wire::of_a_page(stack.desktop_port(), &cookie).await;

    let name = stack.name.clone();
    let (frames, hertz) = (FRAMES.to_string(), HERTZ.to_string());
    let mut beside = tokio::task::spawn_blocking(move || {
        let python = ["/opt/selkies/bin/python", "-c", BESIDE, &frames, &hertz];
        Container::of_another(&name).exec_ok(&python)
    });
    let mut heard: Vec<Vec<u8>> = Vec::new();
    let printed = loop {
        tokio::select! {
            message = wire.next() => heard.extend(sound(&message.expect("the stream goes on"))),
            printed = &mut beside => break printed.expect("the listener beside"),
        }
    };
    let direct: Vec<Vec<u8>> =
        printed.lines().map(|line| STANDARD.decode(line).expect("a frame of sound")).collect();
    assert_eq!(direct.len(), FRAMES);

    // All frames, in order, with nothing between them: frames that the other connection has not received yet arrive
    // now.
    let whole = |heard: &[Vec<u8>]| heard.windows(FRAMES).any(|part| part == direct);
    let rest = tokio::time::timeout(Duration::from_secs(10), async {
        while !whole(&heard) {
            heard.extend(sound(&wire.next().await.expect("the stream goes on")));
        }
    });
    if rest.await.is_err() {
        let missing = direct.iter().filter(|frame| !heard.contains(frame)).count();
        panic!("of {FRAMES} frames {missing} did not come, of {} that came", heard.len());
    }

    let browser = Browser::start().await;
    // Any page on localhost: elsewhere a browser has no decoder.
    browser.goto(&stack.desktop()).await;
    let texts: Vec<Value> = heard.iter().map(|frame| STANDARD.encode(frame).into()).collect();
    let decoded = browser.execute(DECODE, vec![texts.into()]).await;
    let number = |name: &str| decoded[name].as_f64().unwrap_or_default();
    assert_eq!(decoded["problem"], "");
    assert!(number("loud") > 0.1, "it is silent: {decoded}");
    assert!((number("hertz") - HERTZ).abs() < 10.0, "it is another tone: {decoded}");
}

/// The message, if it is sound.
fn sound(message: &Message) -> Option<Vec<u8>> {
    match message {
        Message::Binary(bytes) if bytes.first() == Some(&1) => Some(bytes.to_vec()),
        _ => None,
    }
}
