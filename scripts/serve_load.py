"""Measure a running server: python scripts/serve_load.py URL SOURCE_FILE TARGET_LANGUAGE [REQUESTS]

For 1, 16 and 64 concurrent clients, each with one connection and one sentence at a time: requests per second, and the
median and the 99th percentile of the time to an answer. Also checks that each sentence always has the same translation.
"""

import http.client
import json
import statistics
import sys
import threading
import time
from urllib.parse import urlparse


def main(url: str, path: str, target: str, requests: int = 500) -> None:
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file][:requests]
    known: dict[str, str] = {}
    print("clients  requests/s  median ms  99th percentile ms")
    for clients in (1, 16, 64):
        work, seconds, lock = iter(lines), list[float](), threading.Lock()

        def ask(work=work, seconds=seconds, lock=lock) -> None:  # type: ignore[no-untyped-def]
            connection = http.client.HTTPConnection(urlparse(url).netloc, timeout=120)
            while True:
                with lock:
                    line = next(work, None)
                if line is None:
                    return
                begun = time.perf_counter()
                body = json.dumps({"q": line, "source": "auto", "target": target})
                connection.request("POST", "/translate", body, {"content-type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
                assert response.status == 200, answer
                with lock:
                    seconds.append(time.perf_counter() - begun)
                    assert known.setdefault(line, answer["translatedText"]) == answer["translatedText"], line

        begun = time.perf_counter()
        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = len(lines) / (time.perf_counter() - begun)
        ordered = sorted(seconds)
        last = ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)]
        print(f"{clients:7}  {rate:10.1f}  {1000 * statistics.median(ordered):9.0f}  {1000 * last:18.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:5]))
