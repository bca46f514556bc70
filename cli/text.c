#include "cli/text.h"
#include <errno.h>
#include <inttypes.h>
#include <meshsub/log.h>
#include <meshsub/peer_id.h>
#include <stdarg.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void no_memory(void) {
  static const char text[] = "meshsub: out of memory\n";
  struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
  ssize_t written = poll(&p, 1, 0) > 0 ? write(STDERR_FILENO, text, sizeof text - 1) : 0; /* it ends, whoever reads that */
  (void)written;
  _exit(EXIT_FAILED);
}

void *take(size_t n) {
  void *p = calloc(1, n ? n : 1);
  if (!p) no_memory();
  return p;
}

void *grow(void *p, size_t count, size_t size) {
  void *q = count > SIZE_MAX / size ? NULL : realloc(p, count ? count * size : 1);
  if (!q) no_memory();
  return q;
}

static struct { outlet *errors, *before; } through;

void errors_through(outlet *errors, outlet *before) {
  through.errors = errors;
  through.before = before;
}

FILE *error_begin(void) {
  if (through.errors) {
    outlet_write(through.before);
    return outlet_begin(through.errors);
  }
  fflush(stdout); /* so that both come in order on a terminal */
  flockfile(stderr);
  return stderr;
}

void error_end(void) {
  if (through.errors) outlet_end(through.errors);
  else funlockfile(stderr);
}

void say_error(const char *program, const char *format, ...) {
  FILE *to = error_begin();
  fprintf(to, "%s: ", program);
  va_list args;
  va_start(args, format);
  vfprintf(to, format, args);
  va_end(args);
  fputc('\n', to);
  error_end();
}

/* ---- shown values ---- */

#define SHOWN_MAX (MSUB_MULTIADDR_TEXT + 8)

static char *shown(void) {
  static char buffers[8][SHOWN_MAX];
  static unsigned turn;
  return buffers[turn++ % 8];
}

const char *quoted_bytes(msub_bytes text) {
  char *out = shown();
  out[0] = '"';
  msub_escape(out + 1, 200, text);
  strcat(out, "\"");
  return out;
}

const char *quoted(const char *text) { return quoted_bytes(msub_str(text)); }

const char *peer_text(msub_bytes id) { return msub_peer_id_text(id, shown()); }

const char *addr_text(msub_bytes addr) {
  char *out = shown();
  if (msub_multiaddr_text(addr, out, SHOWN_MAX) != MSUB_OK) strcpy(out, "(no address)");
  return out;
}

const char *duration_text(uint64_t ns) {
  static const struct {
    const char *unit;
    uint64_t ns;
  } units[] = { { "h", 3600000000000 }, { "m", 60000000000 }, { "s", 1000000000 },
                { "ms", 1000000 },      { "us", 1000 },       { "ns", 1 } };
  char *out = shown();
  size_t i = 0;
  while (i < 5 && (ns == 0 || ns % units[i].ns)) i++;
  snprintf(out, SHOWN_MAX, "%" PRIu64 "%s", ns / units[i].ns, units[i].unit);
  return out;
}

/* ---- JSON ---- */

void put_json(FILE *out, json_t *object) {
  if (!object || (json_dumpf(object, out, JSON_COMPACT) != 0 && !ferror(out))) no_memory(); /* flush_out() tells the rest */
  json_decref(object);
  fputc('\n', out);
}

static void free_wiped(void *p) {
  if (p) explicit_bzero(p, malloc_usable_size(p));
  free(p);
}
void json_wipe(void) { json_set_alloc_funcs(malloc, free_wiped); }

char *json_text(json_t *object) {
  char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
  if (!text) no_memory();
  json_decref(object);
  return text;
}

volatile sig_atomic_t stop_asked;

bool flush_out(const char *program, FILE *out) {
  if (fflush(out) == 0 && !ferror(out)) return true;
  if (stop_asked) return true; /* nobody reads it; the end is what was asked for */
  say_error(program, "standard output cannot be written: %s", strerror(errno));
  return false;
}

json_t *json_hex(msub_bytes bytes) {
  char small[257], *text = bytes.n <= 128 ? small : take(2 * bytes.n + 1);
  put_hex(text, bytes);
  json_t *j = json_string(text);
  if (text != small) free(text);
  return j;
}

json_t *json_peer(msub_bytes id) {
  char text[MSUB_PEER_ID_TEXT];
  return json_string(id.n ? msub_peer_id_text(id, text) : "");
}

json_t *json_name(msub_bytes b) { return is_text(b) ? json_stringn((const char *)b.p, b.n) : json_hex(b); }

void set_name(json_t *object, const char *key, msub_bytes name) {
  char hex[64];
  if (!is_text(name)) snprintf(hex, sizeof hex, "%s_hex", key);
  json_object_set_new(object, is_text(name) ? key : hex, json_name(name));
}

void set_data(json_t *object, msub_bytes data) {
  if (is_text(data)) {
    json_object_set_new(object, "data", json_stringn((const char *)data.p, data.n));
    return;
  }
  char *text = base64_text(data);
  json_object_set_new(object, "data_base64", json_string(text));
  free(text);
}

/* ---- hex, base64, UTF-8 ---- */

void put_hex(char *out, msub_bytes bytes) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < bytes.n; i++) {
    *out++ = digits[bytes.p[i] >> 4];
    *out++ = digits[bytes.p[i] & 15];
  }
  *out = 0;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool read_hex(const char *text, uint8_t **out, size_t *n) {
  size_t chars = strlen(text);
  if (chars % 2) return false;
  uint8_t *bytes = take(chars / 2);
  for (size_t i = 0; i < chars; i += 2) {
    int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) {
      free(bytes);
      return false;
    }
    bytes[i / 2] = (uint8_t)(high << 4 | low);
  }
  *out = bytes;
  *n = chars / 2;
  return true;
}

char *base64_text(msub_bytes bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *text = take((bytes.n + 2) / 3 * 4 + 1), *out = text;
  for (size_t i = 0; i < bytes.n; i += 3) {
    size_t left = bytes.n - i;
    uint32_t v = (uint32_t)bytes.p[i] << 16;
    if (left > 1) v |= (uint32_t)bytes.p[i + 1] << 8;
    if (left > 2) v |= bytes.p[i + 2];
    *out++ = digits[v >> 18];
    *out++ = digits[v >> 12 & 63];
    *out++ = left > 1 ? digits[v >> 6 & 63] : '=';
    *out++ = left > 2 ? digits[v & 63] : '=';
  }
  *out = 0;
  return text;
}

static int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool read_base64(const char *text, size_t n, uint8_t **out, size_t *got) {
  size_t pad = n && text[n - 1] == '=' ? n > 1 && text[n - 2] == '=' ? 2 : 1 : 0;
  uint8_t *bytes = n % 4 ? NULL : take(n / 4 * 3 + 1);
  bool good = bytes != NULL;
  for (size_t i = 0; good && i < n; i += 4) {
    uint32_t v = 0;
    for (size_t k = 0; k < 4; k++) {
      bool padding = i + k >= n - pad;
      int digit = padding ? 0 : base64_digit(text[i + k]);
      if (digit < 0) good = false;
      else v = v << 6 | (uint32_t)digit;
    }
    for (size_t k = 0; good && k < 3; k++) bytes[i / 4 * 3 + k] = (uint8_t)(v >> (16 - 8 * k));
  }
  if (!good) {
    free(bytes);
    return false;
  }
  *out = bytes;
  *got = n / 4 * 3 - pad;
  return true;
}

/* Length of the UTF-8 sequence at p (n bytes are left) and its code point; 0: none. */
static size_t utf8_one(const uint8_t *p, size_t n, uint32_t *code) {
  static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
  uint8_t c = p[0];
  if (c < 0x80) return *code = c, 1;
  size_t len = c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
  if (len == 0 || len > n) return 0;
  uint32_t v = c & (0x7fu >> len);
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xc0) != 0x80) return 0;
    v = v << 6 | (p[i] & 0x3fu);
  }
  if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return 0;
  *code = v;
  return len;
}

bool is_text(msub_bytes bytes) {
  for (size_t i = 0; i < bytes.n;) {
    uint32_t c;
    size_t len = utf8_one(bytes.p + i, bytes.n - i, &c);
    if (len == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7f && c < 0xa0))
      return false;
    i += len;
  }
  return true;
}

/* ---- clocks ---- */

static uint64_t clock_ns(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t mono_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t wall_ns(void) { return clock_ns(CLOCK_REALTIME); }

/* ---- lines ---- */

void lines_init(lines *l, int fd, size_t max) { *l = (lines){ .fd = fd, .max = max }; }

void lines_free(lines *l) {
  free(l->buf);
  *l = (lines){ .fd = -1 };
}

bool lines_fill(lines *l) {
  if (l->end) return true;
  if (l->from) {
    memmove(l->buf, l->buf + l->from, l->n - l->from);
    l->n -= l->from;
    l->seen -= l->from;
    l->from = 0;
  }
  if (l->cap < l->n + 16384) {
    size_t cap = l->cap * 2 > l->n + 65536 ? l->cap * 2 : l->n + 65536;
    l->buf = grow(l->buf, cap, 1);
    l->cap = cap;
  }
  ssize_t got = read(l->fd, l->buf + l->n, l->cap - l->n - 1); /* one is for the NUL */
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) l->end = true;
  l->n += (size_t)got;
  return true;
}

bool lines_next(lines *l, msub_bytes *line) {
  char *nl = l->n > l->seen ? memchr(l->buf + l->seen, '\n', l->n - l->seen) : NULL;
  size_t until = nl ? (size_t)(nl - l->buf) : l->n;
  if (until - l->from > l->max) {
    l->too_long = true;
    return false;
  }
  l->seen = l->n;
  if (!nl && (!l->end || l->from == l->n)) return false;
  *line = (msub_bytes){ (const uint8_t *)l->buf + l->from, until - l->from };
  l->buf[until] = 0;
  l->from = l->seen = nl ? until + 1 : until;
  return true;
}
