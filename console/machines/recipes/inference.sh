#!/bin/sh
# Ollama on this machine, on its own loopback. May be run at any time, and again: it does what is missing.
port=11434
home=${HOME:-/root}/.hawser
log=$home/ollama.log
mkdir -p "$home" && chmod 700 "$home"

say() { echo "hawser: $*"; }

answers() {
    if command -v curl >/dev/null 2>&1; then
        curl -fsS -m 5 -o /dev/null "http://127.0.0.1:$port/api/version" 2>/dev/null
    else
        wget -q -T 5 -O /dev/null "http://127.0.0.1:$port/api/version" 2>/dev/null
    fi
}

wait_for_it() {
    left=$1
    while [ "$left" -gt 0 ]; do
        answers && return 0
        sleep 1
        left=$((left - 1))
    done
    answers
}

if ! answers; then
    if ! command -v ollama >/dev/null 2>&1; then
        say "installing Ollama $OLLAMA_VERSION"
        if ! command -v curl >/dev/null 2>&1; then
            say "curl is missing; fetching it"
            { apt-get update -q && apt-get install -y -q curl ca-certificates; } || exit 20
        fi
        curl -fsSL -m 120 -o "$home/install-ollama.sh" https://ollama.com/install.sh || exit 21
        sh "$home/install-ollama.sh" || exit 22
    fi
    if ! answers; then
        say "starting Ollama"
        OLLAMA_HOST=127.0.0.1:$port
        export OLLAMA_HOST
        nohup ollama serve </dev/null >>"$log" 2>&1 &
    fi
    if ! wait_for_it 60; then
        say "Ollama does not answer on port $port; the end of its log:"
        tail -n 20 "$log"
        exit 23
    fi
fi
say "Ollama answers"
