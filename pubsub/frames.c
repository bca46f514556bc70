/* pubsub/frames.c: the bytes of a stream cut into frames.
 *
 * stream   … ├ length (varint) ┤├ RPC ┤├ length ┤├ RPC ┤ …
 *
 * A frame that lies wholly in what was fed is shown where it is. One that does not is collected in a
 * buffer, which doubles as bytes arrive and never believes the announced length. */
#include <string.h>
#include "base/mem.h"
#include "pubsub/rpc_wire.h"

#define FIRST_BUFFER 1024u
/* A larger one is given back with its frame: most streams are idle most of the time. */
#define KEPT_BUFFER 4096u
#define PREFIX_BYTES 9u /* 63 bits */

void msub_frames_init(msub_frames *f, const msub_mem *mem, size_t limit, unsigned flags) {
  *f = (msub_frames){ .mem = mem ? *mem : msub__mem_default(), .limit = limit, .flags = flags };
}

static void give_back(msub_frames *f) {
  msub__free(&f->mem, f->buf, f->cap);
  f->buf = NULL;
  f->cap = 0;
}

void msub_frames_fini(msub_frames *f) {
  give_back(f);
  f->in = (msub_bytes){ NULL, 0 };
}

void msub_frames_feed(msub_frames *f, msub_bytes in) { f->in = in; }

static void take(msub_frames *f, size_t n) {
  f->in.p += n;
  f->in.n -= n;
}

static int fail(msub_frames *f, int err) {
  f->err = err;
  return err;
}

/* Reads on in the length. 1: complete, 0: more input is needed. */
static int read_length(msub_frames *f) {
  while (f->in.n > 0) {
    uint8_t b = *f->in.p;
    take(f, 1);
    f->need |= (uint64_t)(b & 0x7f) << 7 * f->prefix_n;
    f->prefix_n++;
    bool padded = b == 0 && f->prefix_n > 1, too_long = b >= 0x80 && f->prefix_n == PREFIX_BYTES;
    if (padded || too_long) {
      /* The reference peeks at the length, drops the error of the peek, and reads again behind these
       * bytes. */
      if (!(f->flags & MSUB_FRAMES_GO_PARITY) || f->again) return fail(f, MSUB_ERR_MALFORMED);
      f->again = true;
      f->need = 0;
      f->prefix_n = 0;
    } else if (b < 0x80) {
      if (f->limit && f->need > f->limit) return fail(f, MSUB_ERR_LIMIT);
      f->again = false;
      f->prefix_n = 0;
      if (f->need > 0) return 1;
    }
  }
  return 0;
}

static int grow(msub_frames *f, size_t want) {
  if (want <= f->cap) return MSUB_OK;
  size_t cap = f->cap > SIZE_MAX / 2 ? SIZE_MAX : f->cap * 2;
  if (cap < FIRST_BUFFER) cap = FIRST_BUFFER;
  if (cap < want) cap = want;
  if (cap > f->need) cap = (size_t)f->need; /* want is never more */
  uint8_t *p = msub__alloc(&f->mem, cap);
  if (!p) return MSUB_ERR_NOMEM;
  if (f->have) memcpy(p, f->buf, f->have);
  give_back(f);
  f->buf = p;
  f->cap = cap;
  return MSUB_OK;
}

int msub_frames_next(msub_frames *f, msub_bytes *frame) {
  *frame = (msub_bytes){ NULL, 0 };
  if (f->err) return f->err;
  if (f->shown) { /* the last frame was in the buffer, and is done with */
    f->shown = false;
    f->have = 0;
    if (f->cap > KEPT_BUFFER) give_back(f);
  }
  if (f->need == 0 || f->prefix_n > 0) {
    int r = read_length(f);
    if (r <= 0) return r;
  }
  size_t missing = f->need - f->have > SIZE_MAX ? SIZE_MAX : (size_t)(f->need - f->have);
  if (f->have == 0 && f->in.n >= missing) {
    *frame = (msub_bytes){ f->in.p, missing };
    take(f, missing);
    f->need = 0;
    return 1;
  }
  size_t n = f->in.n < missing ? f->in.n : missing;
  if (n > 0) {
    int err = grow(f, f->have + n);
    if (err != MSUB_OK) return fail(f, err);
    memcpy(f->buf + f->have, f->in.p, n);
    f->have += n;
    take(f, n);
  }
  if (n < missing) return 0;
  *frame = (msub_bytes){ f->buf, f->have };
  f->need = 0;
  f->shown = true;
  return 1;
}

msub_bytes msub_frames_rest(const msub_frames *f) { return f->in; }
bool msub_frames_inside(const msub_frames *f) { return f->need > 0 || f->prefix_n > 0; }
size_t msub_frames_held(const msub_frames *f) { return f->cap; }
