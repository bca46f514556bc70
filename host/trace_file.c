/* host/trace_file.c: events into a file, by a thread.
 *
 *   engine's thread                     under the lock                 writer's thread
 *   event ─▶ record ─▶ scratch ─────▶  front (bounded) ── swap ────▶  back ─▶ deflate ─▶ out ─▶ write()
 *
 * A record goes into `front` whole or not at all. The writer takes all of `front` when its own piece is through, so what waits is in `front`
 * and in `back`, half of the bound each. It keeps its place in `back` and `out` when a write fails, and goes on from there. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include "base/log.h"
#include "base/mem.h"
#include "meshsub/rpc.h"
#include "meshsub/trace_file.h"

#define BUFFER_MIN ((size_t)64 << 10)
#define BUFFER_MAX ((size_t)1 << 30)
#define FIRST_BYTES ((size_t)16 << 10)
#define OUT_BYTES ((size_t)64 << 10)
#define WAKE_BYTES ((size_t)32 << 10) /* so much in front, or half of its bound, is worth a wake-up before its time */
#define IDLE_MS 200u                  /* how long less than that waits */
#define RETRY_MS 1000u                /* after a failed write */

typedef struct piece {
  uint8_t *p;
  size_t n, cap;
  uint64_t events;
} piece;

struct msub_trace_file {
  msub_mem mem;
  msub_log log;
  msub_trace_format format;
  size_t bound, wake_at; /* of a piece */
  pthread_t thread;
  /* The engine's. */
  uint8_t *record, *line; /* scratch, grown as needed */
  size_t record_cap, line_cap;
  uint64_t kinds[MSUB_EVENTS], events, lost;
  bool told;
  /* Under the lock. */
  pthread_mutex_t lock;
  pthread_cond_t wake;
  piece front;
  uint64_t bytes, write_errors;
  int error; /* errno of the last failed write; 0: none since */
  bool stop, woken;
  uint64_t left; /* events that were given up, by the writer at its end */
  /* The writer's. */
  int fd;
  bool gzip, flush; /* flush: what was deflated should become readable */
  piece back;
  size_t back_at; /* plain: written */
  z_stream z;
  uint8_t *out;
  size_t out_n, out_at;
};

/* ---- the writer ---- */

static bool write_all(msub_trace_file *f, const uint8_t *p, size_t n, size_t *at) {
  while (*at < n) {
    ssize_t k = write(f->fd, p + *at, n - *at);
    if (k < 0 && errno == EINTR) continue;
    int error = k < 0 ? errno : k == 0 ? EIO : 0;
    (void)pthread_mutex_lock(&f->lock);
    if (error) {
      f->write_errors++;
      f->error = error;
    } else {
      f->bytes += (uint64_t)k;
      f->error = 0;
    }
    (void)pthread_mutex_unlock(&f->lock);
    if (error) return false;
    *at += (size_t)k;
  }
  return true;
}

/* Deflates what z has not taken in, and writes it. Called again after a failure it goes on where it stopped. */
static bool deflate_all(msub_trace_file *f, int how) {
  for (;;) {
    if (!write_all(f, f->out, f->out_n, &f->out_at)) return false;
    f->z.next_out = f->out;
    f->z.avail_out = (uInt)OUT_BYTES;
    int rc = deflate(&f->z, how);
    f->out_n = OUT_BYTES - f->z.avail_out;
    f->out_at = 0;
    if (f->out_n == 0 || rc == Z_STREAM_END) return write_all(f, f->out, f->out_n, &f->out_at);
  }
}

/* The piece in hand; true: all of it is in the file. */
static bool write_piece(msub_trace_file *f) {
  if (!f->gzip) return write_all(f, f->back.p, f->back.n, &f->back_at);
  return deflate_all(f, f->flush ? Z_SYNC_FLUSH : Z_NO_FLUSH);
}

static struct timespec in_ms(unsigned ms) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += ms / 1000;
  t.tv_nsec += (long)(ms % 1000) * 1000000;
  if (t.tv_nsec >= 1000000000) {
    t.tv_sec++;
    t.tv_nsec -= 1000000000;
  }
  return t;
}

/* With the lock held. */
static void wait_for_work(msub_trace_file *f, bool failed) {
  struct timespec until = in_ms(failed ? RETRY_MS : IDLE_MS);
  while (!f->stop && (failed || !f->woken) && pthread_cond_timedwait(&f->wake, &f->lock, &until) == 0) {}
  f->woken = false;
}

/* Takes what has come. The piece was written, or there was none. */
static void swap_pieces(msub_trace_file *f) {
  piece done = f->back;
  f->back = f->front;
  f->front = (piece){ .p = done.p, .cap = done.cap };
  f->back_at = 0;
  f->z.next_in = f->back.p;
  f->z.avail_in = (uInt)f->back.n;
}

static void *writer(void *arg) {
  msub_trace_file *f = arg;
  bool ok = true;
  (void)pthread_mutex_lock(&f->lock);
  for (;;) {
    if (!f->stop && (!ok || f->front.n < f->wake_at)) wait_for_work(f, !ok);
    bool stop = f->stop, fresh = ok && f->front.n > 0;
    if (ok) {
      f->flush = f->front.n < f->wake_at && (fresh || !f->flush); /* once when it becomes quiet */
      swap_pieces(f);
    }
    (void)pthread_mutex_unlock(&f->lock);
    ok = write_piece(f);
    (void)pthread_mutex_lock(&f->lock);
    if (stop && ok && f->front.n == 0) break;
    if (stop && !ok) break;
  }
  f->left = (ok ? 0 : f->back.events) + f->front.events;
  (void)pthread_mutex_unlock(&f->lock);
  if (ok && f->gzip && !deflate_all(f, Z_FINISH)) {
    (void)pthread_mutex_lock(&f->lock);
    f->left += f->back.events; /* its end is missing */
    (void)pthread_mutex_unlock(&f->lock);
  }
  return NULL;
}

/* ---- the engine's thread ---- */

static uint8_t *room(msub_trace_file *f, uint8_t **p, size_t *cap, size_t n) {
  if (n <= *cap) return *p;
  size_t more = n < 1024 ? 1024 : n + n / 2;
  msub__free(&f->mem, *p, *cap);
  *p = msub__alloc(&f->mem, more);
  *cap = *p ? more : 0;
  return *p;
}

/* The event as it stands in the file, in a buffer of ours; empty: there is nothing to write, or (*full) no memory to make it. */
static msub_bytes make(msub_trace_file *f, const msub_engine *e, const msub_event *ev, bool *full) {
  const msub_bytes none = { NULL, 0 };
  bool ours = f->format == MSUB_TRACE_FILE_LINES;
  size_t n = msub_trace_record(e, ev, ours, f->record, f->record_cap);
  if (n == 0) return none;
  *full = true;
  if (n > f->bound) return none;
  if (n > f->record_cap) {
    if (!room(f, &f->record, &f->record_cap, n)) return none;
    (void)msub_trace_record(e, ev, ours, f->record, f->record_cap);
  }
  msub_bytes record = { f->record, n };
  if (f->format == MSUB_TRACE_FILE_PB) {
    if (!room(f, &f->line, &f->line_cap, n + MSUB_FRAME_PREFIX_MAX)) return none;
    size_t head = msub_varint_put(f->line, n);
    memcpy(f->line + head, record.p, n);
    *full = false;
    return (msub_bytes){ f->line, head + n };
  }
  msub_trace_style style = ours ? MSUB_TRACE_LINES : MSUB_TRACE_TRACER;
  n = msub_trace_json(record, style, (char *)f->line, f->line_cap);
  if (n == 0 || n >= f->bound) return none;
  if (n >= f->line_cap) {
    if (!room(f, &f->line, &f->line_cap, n + 1)) return none;
    (void)msub_trace_json(record, style, (char *)f->line, f->line_cap);
  }
  f->line[n] = '\n';
  *full = false;
  return (msub_bytes){ f->line, n + 1 };
}

/* With the lock held. */
static bool append(msub_trace_file *f, msub_bytes b) {
  piece *to = &f->front;
  if (b.n > f->bound - to->n) return false;
  if (b.n > to->cap - to->n) {
    size_t cap = to->cap ? to->cap : FIRST_BYTES;
    while (cap < to->n + b.n) cap *= 2;
    if (cap > f->bound) cap = f->bound;
    uint8_t *p = msub__realloc(&f->mem, to->p, to->cap, cap);
    if (!p) return false;
    to->p = p;
    to->cap = cap;
  }
  memcpy(to->p + to->n, b.p, b.n);
  to->n += b.n;
  to->events++;
  return true;
}

static void tell(msub_trace_file *f, int error) {
  if (f->told) return;
  f->told = true;
  MSUB__LOG(&f->log, MSUB_LOG_WARN, "trace", "the trace file cannot be written (%s); what does not fit into its buffer is lost", strerror(error));
}

void msub_trace_file_add(msub_trace_file *f, const msub_engine *e, const msub_event *ev) {
  bool full = false;
  msub_bytes b = make(f, e, ev, &full);
  if (b.n == 0) {
    f->lost += full;
    return;
  }
  (void)pthread_mutex_lock(&f->lock);
  bool taken = append(f, b);
  int error = f->error;
  if (taken && f->front.n >= f->wake_at && !f->woken) {
    f->woken = true;
    (void)pthread_cond_signal(&f->wake);
  }
  (void)pthread_mutex_unlock(&f->lock);
  if (taken) {
    f->events++;
    f->kinds[ev->kind]++;
  } else {
    f->lost++;
  }
  if (error) tell(f, error);
}

void msub_trace_file_count(msub_trace_file *f, msub_trace_file_counts *out) {
  *out = (msub_trace_file_counts){ .events = f->events, .lost = f->lost };
  memcpy(out->kinds, f->kinds, sizeof out->kinds);
  (void)pthread_mutex_lock(&f->lock);
  out->bytes = f->bytes;
  out->write_errors = f->write_errors;
  out->lost += f->left;
  (void)pthread_mutex_unlock(&f->lock);
}

/* ---- opening and closing ---- */

void msub_trace_file_opts_init(msub_trace_file_opts *o) {
  *o = (msub_trace_file_opts){ .size = sizeof *o, .gzip = -1, .buffer_bytes = (size_t)8 << 20 };
}

static bool ends_in(const char *name, size_t n, const char *end) {
  size_t k = strlen(end);
  return n > k && memcmp(name + n - k, end, k) == 0;
}

static void by_name(msub_trace_file *f, const msub_trace_file_opts *o) {
  size_t n = strlen(o->path);
  bool gz = ends_in(o->path, n, ".gz");
  f->gzip = o->gzip < 0 ? gz : o->gzip != 0;
  if (gz) n -= 3;
  f->format = o->format != MSUB_TRACE_FILE_BY_NAME ? o->format
              : ends_in(o->path, n, ".jsonl")      ? MSUB_TRACE_FILE_LINES
              : ends_in(o->path, n, ".json")       ? MSUB_TRACE_FILE_TRACER
                                                   : MSUB_TRACE_FILE_PB;
}

static void release(msub_trace_file *f) {
  msub_mem mem = f->mem;
  if (f->gzip && f->out) (void)deflateEnd(&f->z);
  if (f->out) msub__free(&mem, f->out, OUT_BYTES);
  if (f->fd >= 0) (void)close(f->fd);
  msub__free(&mem, f->front.p, f->front.cap);
  msub__free(&mem, f->back.p, f->back.cap);
  msub__free(&mem, f->record, f->record_cap);
  msub__free(&mem, f->line, f->line_cap);
  msub__free(&mem, f, sizeof *f);
}

static bool begin_gzip(msub_trace_file *f) {
  uint8_t *out = msub__alloc(&f->mem, OUT_BYTES);
  if (!out) return false;
  if (deflateInit2(&f->z, 4, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK) { /* 16: a gzip head; 4: fast, and a tenth of the size */
    f->out = out;
    return true;
  }
  msub__free(&f->mem, out, OUT_BYTES);
  return false;
}

/* Signals are the program's business. */
static int start(msub_trace_file *f) {
  sigset_t all, before;
  pthread_condattr_t attr;
  (void)sigfillset(&all);
  (void)pthread_mutex_init(&f->lock, NULL);
  (void)pthread_condattr_init(&attr);
  (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  (void)pthread_cond_init(&f->wake, &attr);
  (void)pthread_condattr_destroy(&attr);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = pthread_create(&f->thread, NULL, writer, f);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc == 0) return MSUB_OK;
  (void)pthread_cond_destroy(&f->wake);
  (void)pthread_mutex_destroy(&f->lock);
  return MSUB_ERR_IO;
}

int msub_trace_file_open(const msub_trace_file_opts *o, msub_trace_file **out, const char **why) {
  const char *text;
  const char **w = why ? why : &text;
  *w = "no path, or an option out of range";
  if (o->size != sizeof *o || !o->path || !*o->path || o->buffer_bytes < BUFFER_MIN || o->buffer_bytes > BUFFER_MAX || o->gzip < -1 || o->gzip > 1 ||
      (unsigned)o->format > MSUB_TRACE_FILE_LINES)
    return MSUB_ERR_INVAL;
  *w = "out of memory";
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_trace_file *f = msub__zalloc(&mem, 1, sizeof *f);
  if (!f) return MSUB_ERR_NOMEM;
  f->mem = mem;
  f->log = o->log;
  f->bound = o->buffer_bytes / 2;
  f->wake_at = f->bound / 2 < WAKE_BYTES ? f->bound / 2 : WAKE_BYTES;
  by_name(f, o);
  f->fd = open(o->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  int err = f->fd < 0 ? MSUB_ERR_IO : f->gzip && !begin_gzip(f) ? MSUB_ERR_NOMEM : MSUB_OK;
  if (f->fd < 0) *w = strerror(errno);
  if (err == MSUB_OK && (err = start(f)) != MSUB_OK) *w = "no thread can be started";
  if (err != MSUB_OK) {
    release(f);
    return err;
  }
  *w = NULL;
  *out = f;
  return MSUB_OK;
}

int msub_trace_file_close(msub_trace_file *f, msub_trace_file_counts *out) {
  if (!f) return MSUB_OK;
  (void)pthread_mutex_lock(&f->lock);
  f->stop = true;
  (void)pthread_cond_signal(&f->wake);
  (void)pthread_mutex_unlock(&f->lock);
  (void)pthread_join(f->thread, NULL);
  if (f->left && f->error) tell(f, f->error);
  int err = f->left ? MSUB_ERR_IO : MSUB_OK;
  if (out) msub_trace_file_count(f, out);
  (void)pthread_cond_destroy(&f->wake);
  (void)pthread_mutex_destroy(&f->lock);
  if (close(f->fd) != 0) err = MSUB_ERR_IO; /* some file systems say only now that there was no room */
  f->fd = -1;
  release(f);
  return err;
}
