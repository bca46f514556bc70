/* tests/fuzz/fuzz_frames.c: any bytes as a stream. Whatever the pieces, the same frames come out and the same
 * end; the memory held stays within its promise. First byte: mode and limit; second: how the stream is cut
 * into pieces. */
#include <stdlib.h>
#include <string.h>
#include "meshsub/rpc.h"

#define CHECK(cond) ((cond) ? (void)0 : abort())

typedef struct result {
  uint64_t hash, frames, bytes;
  int end;
  bool inside;
} result;

static size_t held;
static void *count_alloc(void *ud, size_t n) {
  (void)ud;
  held += n;
  return malloc(n);
}
static void count_free(void *ud, void *p, size_t n) {
  (void)ud;
  held -= n;
  free(p);
}

static void add(uint64_t *hash, const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++) *hash = (*hash ^ p[i]) * 0x100000001b3u;
}

static result run(const uint8_t *data, size_t size, size_t limit, unsigned flags, uint8_t cut) {
  static const msub_mem mem = { count_alloc, count_free, NULL };
  result r = { .hash = 0xcbf29ce484222325u };
  msub_frames f;
  msub_bytes frame;
  msub_frames_init(&f, &mem, limit, flags);
  for (size_t at = 0; at < size && r.end == 0;) {
    size_t piece = cut == 0 ? size : 1u + at * 7u % cut;
    if (piece > size - at) piece = size - at;
    /* A block of its own: the frames may not look back into an earlier piece. */
    uint8_t *copy = malloc(piece);
    if (!copy) abort();
    memcpy(copy, data + at, piece);
    msub_frames_feed(&f, (msub_bytes){ copy, piece });
    while ((r.end = msub_frames_next(&f, &frame)) == 1) {
      CHECK(frame.n > 0 && frame.n <= limit);
      uint64_t n = frame.n;
      add(&r.hash, (const uint8_t *)&n, sizeof n);
      add(&r.hash, frame.p, frame.n);
      r.frames++;
      r.bytes += frame.n;
    }
    at += piece;
    CHECK(held <= 1024 + 2 * at && held == msub_frames_held(&f));
    if (r.end == 0)
      CHECK(msub_frames_rest(&f).n == 0);
    else
      CHECK(msub_frames_next(&f, &frame) == r.end);
    free(copy);
  }
  r.inside = msub_frames_inside(&f);
  msub_frames_fini(&f);
  CHECK(held == 0 && r.bytes + r.frames <= size);
  CHECK(r.end == 0 || r.end == MSUB_ERR_MALFORMED || r.end == MSUB_ERR_LIMIT);
  return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  unsigned flags = data[0] & 1 ? MSUB_FRAMES_GO_PARITY : 0;
  size_t limit = 1u << (data[0] >> 1 & 15);
  uint8_t cut = data[1];
  data += 2;
  size -= 2;
  result whole = run(data, size, limit, flags, 0), pieces = run(data, size, limit, flags, cut),
         bytes = run(data, size, limit, flags, 1);
  CHECK(whole.hash == pieces.hash && whole.end == pieces.end && whole.inside == pieces.inside);
  CHECK(whole.hash == bytes.hash && whole.end == bytes.end && whole.inside == bytes.inside);
  /* Parity only ever reads further. */
  if (!flags) CHECK(run(data, size, limit, MSUB_FRAMES_GO_PARITY, cut).frames >= whole.frames);
  return 0;
}
