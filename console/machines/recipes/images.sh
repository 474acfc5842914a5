#!/bin/sh
# ComfyUI on this machine, on its own loopback. May be run at any time, and again: it does what is missing.
port=8188
home=${HOME:-/root}/.hawser
log=$home/comfyui.log
mkdir -p "$home" && chmod 700 "$home"

say() { echo "hawser: $*"; }

answers() { curl -fsS -m 5 -o /dev/null "http://127.0.0.1:$port/system_stats" 2>/dev/null; }

if ! answers; then
    if ! { command -v git && command -v curl && command -v python3; } >/dev/null 2>&1; then
        say "installing what ComfyUI needs"
        { apt-get update -q && apt-get install -y -q git curl ca-certificates python3 python3-venv; } || exit 20
    fi
    folder=
    for place in "$home/ComfyUI" /workspace/ComfyUI /opt/ComfyUI /root/ComfyUI /ComfyUI; do
        if [ -f "$place/main.py" ]; then
            folder=$place
            break
        fi
    done
    if [ -z "$folder" ]; then
        folder=$home/ComfyUI
        say "fetching ComfyUI $COMFYUI_VERSION"
        rm -rf "$folder.part"
        git clone -q --depth 1 --branch "$COMFYUI_VERSION" https://github.com/comfyanonymous/ComfyUI "$folder.part" ||
            exit 21
        mv "$folder.part" "$folder"
    fi
    python=python3
    if ! python3 -c 'import torch' 2>/dev/null; then
        say "installing PyTorch, which takes minutes"
        python3 -m venv "$home/comfyui-python" || exit 22
        "$home/comfyui-python/bin/pip" install -q torch torchvision torchaudio || exit 22
        python=$home/comfyui-python/bin/python
    fi
    "$python" -m pip install -q -r "$folder/requirements.txt" || exit 22
    say "starting ComfyUI"
    cd "$folder" || exit 21
    nohup "$python" main.py --listen 127.0.0.1 --port "$port" </dev/null >>"$log" 2>&1 &
    left=180
    until answers; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            say "ComfyUI does not answer on port $port; the end of its log:"
            tail -n 20 "$log"
            exit 23
        fi
        sleep 1
    done
fi
say "ComfyUI answers"
