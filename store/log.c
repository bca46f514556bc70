#define XXH_INLINE_ALL
#include "store/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#include "base/assert.h"
#include "base/ring.h"
#include "meshsub/store.h"

#define HEADER MSUB__LOG_HEADER
#define ITEM MSUB__LOG_ITEM
#define VERSION 1u
#define KIND_RECORD 1u
#define KIND_TRUNCATION 2u
#define LENGTH_BITS 28
#define CHUNK ((size_t)16 << 10)  /* small records share one */
#define WINDOW ((size_t)64 << 10) /* read at once */
#define INDEX_EVERY 16u           /* the place of each so-manieth record of a segment is remembered */
#define SEGMENTS_MAX 1000000u
#define PATH_MAX_ 1100u

static const char magic[8] = "MSUBLOG1";

struct msub__log_chunk {
  msub__log_chunk *next;         /* in order; the owner's */
  msub__log_chunk *next_written; /* the thread's */
  uint64_t number, segment, at;
  bool begins; /* the segment, with its header */
  bool last;   /* nothing more comes in: the next one is another */
  size_t n, cap;
  uint8_t bytes[];
};
typedef msub__log_chunk chunk;

typedef struct segment {
  uint64_t first;
  uint64_t n;   /* records, as far as known: of all but the last one the next one says */
  uint64_t end; /* bytes: where the last durable item ends; of others than the last one the size of the file, 0: not known */
  uint32_t *place; /* of records first, first + 16, …; 32 bits do: segments are below 4 GiB */
  size_t n_place, cap_place;
  bool indexed;
} segment;

typedef struct waiting_record {
  const uint8_t *p;
  uint32_t n;
} waiting_record;

struct msub__log {
  msub_mem mem;
  msub__log_opts o;
  char *dir;
  /* the owner's */
  segment *segments;
  size_t n_segments, cap_segments;
  uint64_t end;            /* bytes of the last segment as laid out */
  uint64_t shown_first, shown_next, laid_first, durable_first, durable_next;
  chunk *head, *tail;      /* what is not durable */
  chunk *sealed;           /* the last one that a job has; NULL: it is gone */
  uint64_t chunks, sealed_chunks;
  size_t waiting;
  msub__ring records;      /* waiting_record, from durable_next on */
  int fd;                  /* of the segment that was read last */
  uint64_t fd_segment;
  uint8_t *window;
  size_t window_cap, window_n;
  uint64_t window_at;
  uint64_t cursor, cursor_at; /* the record behind the one read last, and its place in segment fd_segment */
  /* the thread's */
  chunk *to_write, **to_write_end;
  int wfd;
  uint64_t wfd_segment;
  bool dirty, dir_dirty;
};

/* ---- numbers ---- */

static void put32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}
static void put64(uint8_t *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> (8 * i));
}
static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static size_t filled(size_t n) { return (n + 7) & ~(size_t)7; }

/* ---- items ---- */

typedef struct item {
  unsigned kind;
  uint32_t n;
  uint64_t number, durable;
} item;

static void put_header(uint8_t *p, uint64_t first, uint64_t kept) {
  memcpy(p, magic, 8);
  put32(p + 8, VERSION);
  put32(p + 12, 0);
  put64(p + 16, first);
  put64(p + 24, kept);
  put64(p + 32, XXH3_64bits(p, 32));
}

static void put_item(uint8_t *p, uint64_t of, const item *i, const void *body) {
  put32(p + 4, (uint32_t)i->kind << LENGTH_BITS | i->n);
  put64(p + 8, i->number);
  put64(p + 16, i->durable);
  put64(p + 24, XXH3_64bits_withSeed(i->n ? body : "", i->n, i->number));
  put32(p, (uint32_t)XXH3_64bits_withSeed(p + 4, ITEM - 4, of));
  if (i->n) memcpy(p + ITEM, body, i->n);
  memset(p + ITEM + i->n, 0, filled(i->n) - i->n);
}

static bool get_item(const uint8_t *p, uint64_t of, item *i) {
  if (get32(p) != (uint32_t)XXH3_64bits_withSeed(p + 4, ITEM - 4, of)) return false;
  uint32_t v = get32(p + 4);
  *i = (item){ v >> LENGTH_BITS, v & ((UINT32_C(1) << LENGTH_BITS) - 1), get64(p + 8), get64(p + 16) };
  if (i->kind == KIND_TRUNCATION) return i->n == 0;
  return i->kind == KIND_RECORD && i->n <= MSUB_STORE_VALUE_MAX;
}

static bool body_is_good(const uint8_t *p, const item *i) {
  return get64(p + 24) == XXH3_64bits_withSeed(i->n ? p + ITEM : (const uint8_t *)"", i->n, i->number);
}

/* ---- segments ---- */

static void path_of(const msub__log *l, uint64_t first, char out[PATH_MAX_]) {
  (void)snprintf(out, PATH_MAX_, "%s/%016" PRIx64 ".seg", l->dir, first);
}

static bool name_is_segment(const char *name, uint64_t *first) {
  uint64_t v = 0;
  for (int i = 0; i < 16; i++) {
    char c = name[i];
    if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) return false; /* the end, too */
    v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  *first = v;
  return strcmp(name + 16, ".seg") == 0 && v <= INT64_MAX; /* so that numbers of records do not overflow */
}

static segment *last_segment(msub__log *l) { return l->n_segments ? &l->segments[l->n_segments - 1] : NULL; }

static segment *add_segment(msub__log *l, uint64_t first) {
  if (l->n_segments == l->cap_segments) {
    size_t cap = l->cap_segments ? 2 * l->cap_segments : 8;
    segment *more = msub__realloc(&l->mem, l->segments, l->cap_segments * sizeof *more, cap * sizeof *more);
    if (!more) return NULL;
    l->segments = more;
    l->cap_segments = cap;
  }
  segment *s = &l->segments[l->n_segments++];
  *s = (segment){ .first = first };
  return s;
}

static void forget_index(msub__log *l, segment *s) {
  msub__free(&l->mem, s->place, s->cap_place * sizeof *s->place);
  s->place = NULL;
  s->n_place = s->cap_place = 0;
  s->indexed = false;
}

static void forget_segments(msub__log *l, size_t n) { /* the first n */
  for (size_t i = 0; i < n; i++) forget_index(l, &l->segments[i]);
  l->n_segments -= n;
  if (l->n_segments) memmove(l->segments, l->segments + n, l->n_segments * sizeof *l->segments);
}

static bool add_place(msub__log *l, segment *s, uint64_t at) {
  if (s->n++ % INDEX_EVERY) return true;
  if (s->n_place == s->cap_place) {
    size_t cap = s->cap_place ? 2 * s->cap_place : 16;
    uint32_t *more = msub__realloc(&l->mem, s->place, s->cap_place * sizeof *more, cap * sizeof *more);
    if (!more) {
      s->n--;
      return false;
    }
    s->place = more;
    s->cap_place = cap;
  }
  s->place[s->n_place++] = (uint32_t)at;
  return true;
}

/* ---- reading files ---- */

static void forget_file(msub__log *l) {
  if (l->fd >= 0) (void)l->o.os->close(l->o.os->ud, l->fd);
  l->fd = -1;
  l->window_n = 0;
  l->cursor = UINT64_MAX;
}

/* -errno. */
static int use_file(msub__log *l, uint64_t first) {
  char path[PATH_MAX_];
  if (l->fd >= 0 && l->fd_segment == first) return 0;
  forget_file(l);
  path_of(l, first, path);
  int fd = l->o.os->open(l->o.os->ud, path, MSUB__OS_READ);
  if (fd < 0) return fd;
  l->fd = fd;
  l->fd_segment = first;
  return 0;
}

/* n bytes of the file at `at`, which all lie before `end`: nothing behind it is looked at, because it may still be written. */
static int view(msub__log *l, uint64_t at, size_t n, uint64_t end, const uint8_t **out) {
  if (n > end || at > end - n) return -EIO;
  if (at < l->window_at || at + n > l->window_at + l->window_n) {
    size_t want = n > WINDOW ? n : WINDOW;
    if (want > end - at) want = (size_t)(end - at);
    if (want > l->window_cap) {
      uint8_t *more = msub__alloc(&l->mem, want > WINDOW ? want : WINDOW);
      if (!more) return -ENOMEM;
      msub__free(&l->mem, l->window, l->window_cap);
      l->window = more;
      l->window_cap = want > WINDOW ? want : WINDOW;
    }
    l->window_n = 0;
    int err = msub__os_read_all(l->o.os, l->fd, l->window, want, at);
    if (err < 0) return err;
    l->window_at = at;
    l->window_n = want;
  }
  *out = l->window + (at - l->window_at);
  return 0;
}

/* The item there, with a good body in *body. 0, -errno, or 1: it is none. */
static int read_item(msub__log *l, uint64_t of, uint64_t at, uint64_t end, item *i, const uint8_t **body) {
  const uint8_t *p;
  if (end < ITEM || at > end - ITEM) return 1;
  int err = view(l, at, ITEM, end, &p);
  if (err < 0) return err;
  if (!get_item(p, of, i) || filled(i->n) > end - at - ITEM) return 1;
  err = view(l, at, ITEM + i->n, end, &p);
  if (err < 0) return err;
  *body = p + ITEM;
  return body_is_good(p, i) ? 0 : 1;
}

static int header_of(msub__log *l, uint64_t first, uint64_t size, uint64_t *kept) {
  const uint8_t *p;
  if (size < HEADER) return 1;
  int err = view(l, 0, HEADER, size, &p);
  if (err < 0) return err;
  if (memcmp(p, magic, 8) != 0 || get32(p + 8) != VERSION || get64(p + 16) != first || get64(p + 32) != XXH3_64bits(p, 32)) return 1;
  *kept = get64(p + 24);
  return 0;
}

static int file_size(msub__log *l, uint64_t *size) {
  int64_t n = l->o.os->size(l->o.os->ud, l->fd);
  if (n < 0) return (int)n;
  *size = (uint64_t)n > UINT32_MAX ? UINT32_MAX : (uint64_t)n; /* none of ours is longer */
  return 0;
}

/* Walks the items of the segment whose file is in use, from the header on, as far as they are good; their places are remembered. */
static int walk(msub__log *l, segment *s, uint64_t size, uint64_t *kept, uint64_t *end) {
  const uint8_t *body;
  item i;
  uint64_t at = HEADER;
  int err;
  forget_index(l, s);
  s->n = 0;
  while ((err = read_item(l, s->first, at, size, &i, &body)) == 0) {
    if (i.kind == KIND_RECORD) {
      if (i.number != s->first + s->n) break;
      if (!add_place(l, s, at)) return -ENOMEM;
    } else {
      if (i.number > s->first + s->n) break;
      if (i.number > *kept) *kept = i.number;
    }
    at += ITEM + filled(i.n);
  }
  s->indexed = true;
  *end = at;
  return err < 0 ? err : 0;
}

static int index_segment(msub__log *l, size_t k) {
  segment *s = &l->segments[k];
  uint64_t size = 0, kept = 0, end = 0;
  if (s->indexed) return MSUB_OK;
  int err = use_file(l, s->first);
  if (err == 0) err = file_size(l, &size);
  if (err == 0) err = header_of(l, s->first, size, &kept);
  if (err == 0) err = walk(l, s, size, &kept, &end);
  bool whole = err == 0 && k + 1 < l->n_segments && s->first + s->n == l->segments[k + 1].first;
  if (k + 1 < l->n_segments) s->n = l->segments[k + 1].first - s->first;
  s->end = end;
  if (!whole) {
    forget_index(l, s);
    return err == -ENOMEM ? MSUB_ERR_NOMEM : MSUB_ERR_IO;
  }
  return MSUB_OK;
}

/* ---- opening ---- */

static int refuse(char *why, size_t why_n, int code, const msub__log *l, uint64_t of, const char *what) {
  if (l->dir) (void)snprintf(why, why_n, "%s/%016" PRIx64 ".seg: %s", l->dir, of, what);
  return code;
}

static int refuse_errno(char *why, size_t why_n, const msub__log *l, int negative) {
  (void)snprintf(why, why_n, "%s: %s", l->dir, strerror(-negative));
  return msub__os_err(negative);
}

typedef struct lister {
  msub__log *l;
  int err;
} lister;

static bool list_one(void *ud, const char *name) {
  lister *x = ud;
  uint64_t first;
  if (!name_is_segment(name, &first)) return true;
  if (x->l->n_segments == SEGMENTS_MAX)
    x->err = -EFBIG;
  else if (!add_segment(x->l, first))
    x->err = -ENOMEM;
  return x->err == 0;
}

/* Insertion would be quadratic in a million of them; a heap sort is not. */
static void sift(segment *s, size_t at, size_t n) {
  for (size_t kid; (kid = 2 * at + 1) < n; at = kid) {
    if (kid + 1 < n && s[kid + 1].first > s[kid].first) kid++;
    if (s[at].first >= s[kid].first) return;
    segment t = s[at];
    s[at] = s[kid];
    s[kid] = t;
  }
}
static void sort(segment *s, size_t n) {
  for (size_t i = n / 2; i > 0; i--) sift(s, i - 1, n);
  for (size_t i = n; i > 1; i--) {
    segment t = s[0];
    s[0] = s[i - 1];
    s[i - 1] = t;
    sift(s, 0, i - 1);
  }
}

/* The most records that an item behind `at` knows to be durable. */
static int evidence(msub__log *l, uint64_t of, uint64_t at, uint64_t size, uint64_t *durable) {
  const uint8_t *p;
  item i;
  for (; size >= ITEM && at <= size - ITEM; at += 8) {
    int err = view(l, at, ITEM, size, &p);
    if (err < 0) return err;
    if (get_item(p, of, &i) && i.durable > *durable) *durable = i.durable;
  }
  return 0;
}

static int remove_segment(msub__log *l, uint64_t first) {
  char path[PATH_MAX_];
  path_of(l, first, path);
  if (l->o.read_only) return 0;
  int err = l->o.os->remove(l->o.os->ud, path);
  return err == -ENOENT ? 0 : err;
}

static int cut_file(msub__log *l, uint64_t first, uint64_t end) {
  char path[PATH_MAX_];
  if (l->o.read_only) return 0;
  path_of(l, first, path);
  int fd = l->o.os->open(l->o.os->ud, path, MSUB__OS_WRITE);
  if (fd < 0) return fd;
  int err = l->o.os->truncate(l->o.os->ud, fd, end);
  if (err >= 0) err = l->o.os->sync(l->o.os->ud, fd);
  (void)l->o.os->close(l->o.os->ud, fd);
  return err < 0 ? err : 0;
}

static int damaged(const msub__log *l, uint64_t of, uint64_t at, uint64_t record, uint64_t durable, char *why, size_t why_n) {
  char text[200];
  (void)snprintf(text, sizeof text, "damaged at byte %" PRIu64 ": record %" PRIu64 " cannot be read, and %" PRIu64 " were durable", at, record, durable);
  return refuse(why, why_n, MSUB_ERR_MALFORMED, l, of, text);
}

/* The last segment, to the end of what is good in it. *gone: it was never begun properly, and is no more. */
static int open_last(msub__log *l, bool *gone, char *why, size_t why_n) {
  segment *s = last_segment(l);
  uint64_t size = 0, kept = 0, end = 0, durable = l->o.durable;
  *gone = false;
  int err = use_file(l, s->first);
  if (err == 0) err = file_size(l, &size);
  if (err < 0) return refuse_errno(why, why_n, l, err);
  int none = header_of(l, s->first, size, &kept);
  if (none == 0) none = walk(l, s, size, &kept, &end);
  if (none < 0) return refuse_errno(why, why_n, l, none);
  if (none) s->n = 0;
  if (none || end < size) {
    err = evidence(l, s->first, none ? 0 : end, size, &durable);
    if (err < 0) return refuse_errno(why, why_n, l, err);
  }
  if (durable > s->first + s->n && !l->o.cut) return damaged(l, s->first, end, s->first + s->n, durable, why, why_n);
  if (none) {
    uint64_t first = s->first;
    forget_file(l);
    forget_index(l, s);
    l->n_segments--;
    *gone = true;
    err = remove_segment(l, first);
  } else if (end < size) {
    forget_file(l);
    err = cut_file(l, s->first, end);
  }
  if (err < 0) return refuse_errno(why, why_n, l, err);
  s->end = l->end = end;
  l->shown_first = kept;
  return MSUB_OK;
}

static int open_segments(msub__log *l, char *why, size_t why_n) {
  lister x = { l, 0 };
  bool gone = true;
  uint64_t least = 0; /* of those that are no more */
  int err = l->o.os->list(l->o.os->ud, l->dir, list_one, &x);
  if (err == 0) err = x.err;
  if (err < 0) return refuse_errno(why, why_n, l, err);
  sort(l->segments, l->n_segments);
  for (unsigned i = 0; gone && l->n_segments; i++) {
    if (i > 1 && !l->o.cut) /* one at most can have been in the making */
      return refuse(why, why_n, MSUB_ERR_MALFORMED, l, last_segment(l)->first, "damaged: more than one segment has no beginning");
    least = last_segment(l)->first;
    err = open_last(l, &gone, why, why_n);
    if (err != MSUB_OK) return err;
  }
  const segment *last = last_segment(l);
  uint64_t next = last ? last->first + last->n : 0;
  if (!l->o.cut && (next < l->o.durable || (!last && least > 0))) {
    (void)snprintf(why, why_n, "%s: %" PRIu64 " records were durable, and %" PRIu64 " are there: segments are missing", l->dir,
                   l->o.durable > least ? l->o.durable : least, last ? next : 0);
    return MSUB_ERR_MALFORMED;
  }
  if (l->shown_first > next || !last) l->shown_first = next;
  for (size_t i = 0; i + 1 < l->n_segments; i++) l->segments[i].n = l->segments[i + 1].first - l->segments[i].first;
  /* What a truncation has left. */
  size_t drop = 0;
  for (; drop + 1 < l->n_segments && l->segments[drop + 1].first <= l->shown_first; drop++) {
    err = remove_segment(l, l->segments[drop].first);
    if (err < 0) return refuse_errno(why, why_n, l, err);
  }
  if (drop) forget_segments(l, drop);
  if (l->n_segments && l->segments[0].first > l->shown_first) {
    if (!l->o.cut) {
      (void)snprintf(why, why_n, "%s: record %" PRIu64 " should be the first, and %" PRIu64 " is: segments are missing", l->dir, l->shown_first,
                     l->segments[0].first);
      return MSUB_ERR_MALFORMED;
    }
    l->shown_first = l->segments[0].first;
  }
  l->shown_next = l->durable_next = next;
  l->laid_first = l->durable_first = l->shown_first;
  return MSUB_OK;
}

int msub__log_open(const msub__log_opts *o, msub__log **out, char *why, size_t why_n) {
  msub_mem mem = *o->mem;
  msub__log *l = msub__zalloc(&mem, 1, sizeof *l);
  if (!l) return MSUB_ERR_NOMEM;
  l->mem = mem;
  l->o = *o;
  l->fd = l->wfd = -1;
  l->cursor = UINT64_MAX;
  l->to_write_end = &l->to_write;
  msub__ring_init(&l->records, sizeof(waiting_record));
  size_t n = strlen(o->dir) + 1;
  l->dir = msub__alloc(&l->mem, n);
  int err = l->dir ? MSUB_OK : MSUB_ERR_NOMEM;
  if (err == MSUB_OK) memcpy(l->dir, o->dir, n);
  if (err == MSUB_OK && n > PATH_MAX_ - 32) {
    (void)snprintf(why, why_n, "the path is longer than %u bytes", PATH_MAX_ - 32);
    err = MSUB_ERR_INVAL;
  }
  if (err == MSUB_OK) err = open_segments(l, why, why_n);
  if (err != MSUB_OK) {
    if (err == MSUB_ERR_NOMEM) (void)snprintf(why, why_n, "%s", msub_err_text(err));
    msub__log_close(l);
    return err;
  }
  *out = l;
  return MSUB_OK;
}

static void free_chunk(msub__log *l, chunk *c) {
  l->waiting -= sizeof *c + c->cap;
  msub__free(&l->mem, c, sizeof *c + c->cap);
}

void msub__log_close(msub__log *l) {
  if (!l) return;
  for (chunk *c = l->head, *next; c; c = next) {
    next = c->next;
    free_chunk(l, c);
  }
  forget_file(l);
  if (l->wfd >= 0) (void)l->o.os->close(l->o.os->ud, l->wfd);
  forget_segments(l, l->n_segments);
  msub__free(&l->mem, l->segments, l->cap_segments * sizeof *l->segments);
  msub__free(&l->mem, l->window, l->window_cap);
  if (l->dir) msub__free(&l->mem, l->dir, strlen(l->dir) + 1);
  msub__ring_fini(&l->records, &l->mem);
  msub_mem mem = l->mem;
  msub__free(&mem, l, sizeof *l);
}

/* ---- laying out ---- */

/* Room for n bytes at the end, in the segment where the next item goes. */
static chunk *room(msub__log *l, size_t n) {
  segment *s = last_segment(l);
  bool begins = !s || (l->end >= l->o.segment_bytes && s->n > 0);
  chunk *c = l->tail;
  if (!begins && c && !c->last && c->cap - c->n >= n) return c;
  size_t need = n + (begins ? HEADER : 0), cap = need > CHUNK ? need : CHUNK;
  c = msub__alloc(&l->mem, sizeof *c + cap);
  if (!c) return NULL;
  if (begins && !(s = add_segment(l, l->shown_next))) {
    msub__free(&l->mem, c, sizeof *c + cap);
    return NULL;
  }
  *c = (chunk){ .number = ++l->chunks, .segment = s->first, .at = begins ? 0 : l->end, .begins = begins, .cap = cap };
  l->waiting += sizeof *c + cap;
  if (begins) {
    s->indexed = true;
    put_header(c->bytes, s->first, l->shown_first);
    c->n = l->end = HEADER;
  }
  if (l->tail) {
    l->tail->last = true;
    l->tail->next = c;
  } else {
    l->head = c;
  }
  l->tail = c;
  return c;
}

static uint8_t *lay(msub__log *l, chunk *c, const item *i, const void *body) {
  uint8_t *p = c->bytes + c->n;
  put_item(p, c->segment, i, body);
  c->n += ITEM + filled(i->n);
  l->end += ITEM + filled(i->n);
  return p;
}

int msub__log_append(msub__log *l, msub_bytes record, uint64_t *offset) {
  item i = { KIND_RECORD, (uint32_t)record.n, l->shown_next, l->durable_next };
  waiting_record *w = msub__ring_push(&l->records, &l->mem);
  if (!w) return MSUB_ERR_NOMEM;
  chunk *c = room(l, ITEM + filled(record.n));
  if (!c || !add_place(l, last_segment(l), l->end)) {
    l->records.n--;
    return MSUB_ERR_NOMEM;
  }
  *w = (waiting_record){ lay(l, c, &i, record.p) + ITEM, i.n };
  *offset = l->shown_next++;
  return MSUB_OK;
}

int msub__log_truncate(msub__log *l, uint64_t first) {
  if (first > l->shown_next) return MSUB_ERR_INVAL;
  if (first > l->shown_first) l->shown_first = first;
  return MSUB_OK;
}

void msub__log_range(const msub__log *l, uint64_t *first, uint64_t *next) {
  *first = l->shown_first;
  *next = l->shown_next;
}

uint64_t msub__log_durable(const msub__log *l) { return l->durable_next; }
size_t msub__log_waiting(const msub__log *l) { return l->waiting; }

/* Segments in front of the last one that have nothing of what is kept. */
static size_t droppable(const msub__log *l) {
  size_t n = 0;
  while (n + 1 < l->n_segments && l->segments[n + 1].first <= l->shown_first) n++;
  return n;
}

int msub__log_seal(msub__log *l, msub__log_job *job) {
  size_t n = droppable(l);
  *job = (msub__log_job){ .n_drop = n };
  if (n && !(job->drop = msub__alloc(&l->mem, n * sizeof *job->drop))) return MSUB_ERR_NOMEM;
  if (l->shown_first > l->laid_first) {
    item i = { KIND_TRUNCATION, 0, l->shown_first, l->durable_next };
    chunk *c = room(l, ITEM);
    if (!c) {
      msub__free(&l->mem, job->drop, n * sizeof *job->drop);
      return MSUB_ERR_NOMEM;
    }
    (void)lay(l, c, &i, NULL);
    l->laid_first = l->shown_first;
  }
  for (size_t k = 0; k < n; k++) job->drop[k] = l->segments[k].first;
  job->next = l->shown_next;
  job->kept = l->shown_first;
  if (l->tail && l->tail != l->sealed) {
    job->first = l->sealed ? l->sealed->next : l->head;
    job->last = l->tail;
    l->tail->last = true;
    l->sealed = l->tail;
    l->sealed_chunks = l->tail->number;
  }
  job->upto = l->sealed_chunks;
  return MSUB_OK;
}

static void settle_chunk(msub__log *l, chunk *c) {
  size_t k = l->n_segments;
  while (k > 0 && l->segments[k - 1].first != c->segment) k--;
  if (k > 0) l->segments[k - 1].end = c->at + c->n;
  if (c == l->tail) l->tail = NULL;
  if (c == l->sealed) l->sealed = NULL;
  l->head = c->next;
  free_chunk(l, c);
}

void msub__log_settle(msub__log *l, msub__log_job *job, bool ok) {
  if (ok) {
    /* Jobs that failed before it went with it: everything up to its end. */
    while (l->durable_next < job->next) {
      msub__ring_pop(&l->records);
      l->durable_next++;
    }
    while (l->head && l->head->number <= job->upto) settle_chunk(l, l->head);
    l->durable_first = job->kept;
    size_t n = 0;
    while (n < l->n_segments && n < job->n_drop && l->segments[n].first <= job->drop[job->n_drop - 1]) n++;
    if (n && l->fd >= 0 && l->fd_segment <= job->drop[job->n_drop - 1]) forget_file(l);
    forget_segments(l, n);
  }
  msub__free(&l->mem, job->drop, job->n_drop * sizeof *job->drop);
  job->drop = NULL;
  job->n_drop = 0;
}

/* ---- reading ---- */

static size_t segment_of(const msub__log *l, uint64_t offset) {
  size_t lo = 0, hi = l->n_segments;
  while (hi - lo > 1) {
    size_t mid = lo + (hi - lo) / 2;
    if (l->segments[mid].first <= offset)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

static int read_durable(msub__log *l, uint64_t offset, msub_bytes *record) {
  size_t k = segment_of(l, offset);
  int err = index_segment(l, k);
  if (err != MSUB_OK) return err;
  const segment *s = &l->segments[k];
  err = use_file(l, s->first);
  if (err < 0) return err == -ENOMEM ? MSUB_ERR_NOMEM : MSUB_ERR_IO;
  uint64_t at = l->cursor_at;
  if (l->cursor != offset) at = s->place[(offset - s->first) / INDEX_EVERY];
  for (;;) {
    const uint8_t *body;
    item i;
    err = read_item(l, s->first, at, s->end, &i, &body);
    if (err != 0) break;
    at += ITEM + filled(i.n);
    if (i.kind != KIND_RECORD || i.number < offset) continue;
    if (i.number > offset) break;
    l->cursor = offset + 1;
    l->cursor_at = at;
    *record = (msub_bytes){ body, i.n };
    return MSUB_OK;
  }
  l->window_n = 0;
  l->cursor = UINT64_MAX;
  return err == -ENOMEM ? MSUB_ERR_NOMEM : MSUB_ERR_IO;
}

int msub__log_read(msub__log *l, uint64_t offset, msub_bytes *record) {
  if (offset < l->shown_first || offset >= l->shown_next) return MSUB_ERR_NOTFOUND;
  if (offset < l->durable_next) return read_durable(l, offset, record);
  const waiting_record *w = msub__ring_at(&l->records, (uint32_t)(offset - l->durable_next));
  *record = (msub_bytes){ w->p, w->n };
  return MSUB_OK;
}

int msub__log_verify(msub__log *l, char *why, size_t why_n) {
  for (uint64_t at = l->durable_first; at < l->durable_next; at++) {
    msub_bytes r;
    int err = read_durable(l, at, &r);
    if (err == MSUB_OK) continue;
    char text[64];
    (void)snprintf(text, sizeof text, "record %" PRIu64 " cannot be read", at);
    return err == MSUB_ERR_NOMEM ? err : refuse(why, why_n, MSUB_ERR_MALFORMED, l, l->segments[segment_of(l, at)].first, text);
  }
  return MSUB_OK;
}

/* ---- writing: the thread's ---- */

static int sync_file(msub__log *l, bool *failed_sync) {
  int err = 0;
  if (l->dirty) err = l->o.os->sync(l->o.os->ud, l->wfd);
  if (err >= 0) l->dirty = false;
  if (err >= 0 && l->dir_dirty) err = l->o.os->sync_dir(l->o.os->ud, l->dir);
  if (err >= 0) l->dir_dirty = false;
  *failed_sync = err < 0;
  return err < 0 ? err : 0;
}

static int write_chunk(msub__log *l, const chunk *c, bool *failed_sync) {
  char path[PATH_MAX_];
  if (l->wfd < 0 || l->wfd_segment != c->segment) {
    /* A segment is whole, and its name there, before the next one begins. */
    int err = sync_file(l, failed_sync);
    if (err < 0) return err;
    if (l->wfd >= 0) (void)l->o.os->close(l->o.os->ud, l->wfd);
    path_of(l, c->segment, path);
    l->wfd = l->o.os->open(l->o.os->ud, path, c->begins ? MSUB__OS_CREATE : MSUB__OS_WRITE);
    if (l->wfd < 0) return l->wfd;
    l->wfd_segment = c->segment;
  }
  l->dir_dirty |= c->begins;
  l->dirty = true;
  return msub__os_write_all(l->o.os, l->wfd, c->bytes, c->n, c->at);
}

void msub__log_take(msub__log *l, const msub__log_job *job) {
  for (chunk *c = job->first; c; c = c == job->last ? NULL : c->next) {
    c->next_written = NULL;
    *l->to_write_end = c;
    l->to_write_end = &c->next_written;
  }
}

int msub__log_flush(msub__log *l, bool *failed_sync) {
  int err = 0;
  *failed_sync = false;
  for (const chunk *c = l->to_write; c && err >= 0; c = c->next_written) err = write_chunk(l, c, failed_sync);
  if (err >= 0) err = sync_file(l, failed_sync);
  if (err < 0) return err;
  l->to_write = NULL;
  l->to_write_end = &l->to_write;
  return 0;
}

void msub__log_remove(msub__log *l, const msub__log_job *job) {
  for (size_t k = 0; k < job->n_drop; k++) (void)remove_segment(l, job->drop[k]); /* what stays behind goes at the next start */
}
