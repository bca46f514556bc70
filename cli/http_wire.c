#include "cli/http_wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 16

/* ---- the address ---- */

static bool read_address(const char *text, http_bind *b) {
  char host[INET6_ADDRSTRLEN + 2];
  const char *colon = strrchr(text, ':');
  uint64_t port;
  size_t len = colon ? (size_t)(colon - text) : 0;
  *b = (http_bind){ .n = 0 };
  if (!colon || len == 0 || len >= sizeof host || !read_number(colon + 1, &port) || port > 65535) return false;
  bool six = text[0] == '[' && text[len - 1] == ']';
  memcpy(host, text + six, len - 2 * six);
  host[len - 2 * six] = 0;
  if (six) {
    b->at.v6.sin6_family = AF_INET6;
    b->at.v6.sin6_port = htons((uint16_t)port);
    b->n = sizeof b->at.v6;
    bool good = inet_pton(AF_INET6, host, &b->at.v6.sin6_addr) == 1;
    b->loopback = IN6_IS_ADDR_LOOPBACK(&b->at.v6.sin6_addr);
    return good;
  }
  b->at.v4.sin_family = AF_INET;
  b->at.v4.sin_port = htons((uint16_t)port);
  b->n = sizeof b->at.v4;
  bool good = inet_pton(AF_INET, host, &b->at.v4.sin_addr) == 1;
  b->loopback = ntohl(b->at.v4.sin_addr.s_addr) >> 24 == 127;
  return good;
}

int http_address(const command *c, const char *option, const char *text, const char *open_option, bool open, http_bind *out) {
  if (!read_address(text, out)) return usage_error(c, "%s %s: not an address; write 127.0.0.1:9090 or [::1]:9090", option, quoted(text));
  if (!out->loopback && !open)
    return usage_error(c, "%s %s: can be reached from the network, by anybody; write 127.0.0.1:PORT, or %s if that is meant", option, quoted(text),
                       open_option);
  return -1;
}

int http_listen(const char *program, const char *option, const char *text, http_bind *b, int *out) {
  int fd = socket(b->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd >= 0) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd < 0 || bind(fd, &b->at.any, b->n) != 0 || listen(fd, BACKLOG) != 0 || getsockname(fd, &b->at.any, &b->n) != 0) {
    say_error(program, "%s %s: %s", option, quoted(text), strerror(errno));
    if (fd >= 0) close(fd);
    return EXIT_FAILED;
  }
  char host[INET6_ADDRSTRLEN];
  if (b->at.any.sa_family == AF_INET6) {
    snprintf(b->address, sizeof b->address, "[%s]", inet_ntop(AF_INET6, &b->at.v6.sin6_addr, host, sizeof host));
    b->port = ntohs(b->at.v6.sin6_port);
  } else {
    snprintf(b->address, sizeof b->address, "%s", inet_ntop(AF_INET, &b->at.v4.sin_addr, host, sizeof host));
    b->port = ntohs(b->at.v4.sin_port);
  }
  *out = fd;
  return -1;
}

/* ---- requests ---- */

size_t http_head(const uint8_t *in, size_t n) {
  for (size_t i = 0; i + 1 < n && i + 1 < HTTP_REQUEST_BYTES; i++) { /* an empty line ends it */
    if (in[i] != '\n') continue;
    if (in[i + 1] == '\n') return i + 2;
    if (in[i + 1] == '\r' && i + 2 < n && i + 2 < HTTP_REQUEST_BYTES && in[i + 2] == '\n') return i + 3;
  }
  return n > HTTP_REQUEST_BYTES ? SIZE_MAX : 0;
}

static msub_bytes between(const uint8_t *from, const uint8_t *to) { return (msub_bytes){ from, (size_t)(to - from) }; }

bool http_parse(const uint8_t *head, size_t n, http_request *out) {
  const uint8_t *end = head + n, *eol = n ? memchr(head, '\n', n) : NULL;
  const uint8_t *method_end = eol ? memchr(head, ' ', (size_t)(eol - head)) : NULL, *target = method_end ? method_end + 1 : NULL;
  const uint8_t *target_end = target ? memchr(target, ' ', (size_t)(eol - target)) : NULL;
  if (!target_end || target[0] != '/' || eol - target_end < 9 || memcmp(target_end + 1, "HTTP/1.", 7) != 0 || memchr(head, 0, n)) return false;
  const uint8_t *query = memchr(target, '?', (size_t)(target_end - target)), *path_end = query ? query : target_end;
  *out = (http_request){ .method = between(head, method_end), .path = between(target, path_end),
                         .query = query ? between(query + 1, target_end) : (msub_bytes){ NULL, 0 }, .headers = between(eol + 1, end) };
  return true;
}

static msub_bytes trimmed(msub_bytes b) {
  while (b.n && (b.p[0] == ' ' || b.p[0] == '\t')) b.p++, b.n--;
  while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t' || b.p[b.n - 1] == '\r')) b.n--;
  return b;
}

/* In any case of ASCII letters. */
static bool same(msub_bytes b, const char *text) { return b.n == strlen(text) && (b.n == 0 || strncasecmp((const char *)b.p, text, b.n) == 0); }

size_t http_header(const http_request *r, const char *name, msub_bytes *value) {
  size_t found = 0, len = strlen(name);
  msub_bytes rest = r->headers;
  *value = (msub_bytes){ NULL, 0 };
  while (rest.n) {
    const uint8_t *eol = memchr(rest.p, '\n', rest.n);
    msub_bytes line = eol ? between(rest.p, eol) : rest;
    rest = eol ? between(eol + 1, rest.p + rest.n) : (msub_bytes){ NULL, 0 };
    if (line.n <= len || line.p[len] != ':' || strncasecmp((const char *)line.p, name, len) != 0) continue;
    if (found++ == 0) *value = trimmed(between(line.p + len + 1, line.p + line.n));
  }
  return found;
}

bool http_method_is(const http_request *r, const char *method) { return msub_bytes_eq(r->method, msub_str(method)); }

/* Up to the separator, which is taken too; text in double quotes is passed over. */
static msub_bytes cut(msub_bytes *rest, char separator) {
  size_t i = 0;
  bool in_quotes = false;
  for (; i < rest->n && (in_quotes || rest->p[i] != (uint8_t)separator); i++) {
    if (rest->p[i] == '"') in_quotes = !in_quotes;
    else if (in_quotes && rest->p[i] == '\\' && i + 1 < rest->n) i++;
  }
  msub_bytes part = { rest->p, i };
  *rest = i < rest->n ? between(rest->p + i + 1, rest->p + rest->n) : (msub_bytes){ NULL, 0 };
  return trimmed(part);
}

bool http_type_is(msub_bytes value, const char *type) { return same(cut(&value, ';'), type); }

/* "q=0", "q=0.000": not wanted. */
static bool refuses(msub_bytes parameters) {
  while (parameters.n) {
    msub_bytes one = cut(&parameters, ';');
    if (one.n < 3 || (one.p[0] != 'q' && one.p[0] != 'Q') || one.p[1] != '=' || one.p[2] != '0') continue;
    size_t i = 3;
    if (i < one.n && one.p[i] == '.') i++;
    while (i < one.n && one.p[i] == '0') i++;
    if (i == one.n) return true;
  }
  return false;
}

bool http_accepts(msub_bytes accept, const char *type) {
  const char *slash = strchr(type, '/');
  size_t kind = slash ? (size_t)(slash - type) : 0;
  int best = 0; /* 1: any type, 2: any of its kind, 3: the type */
  bool takes = false;
  while (accept.n) {
    msub_bytes range = cut(&accept, ','), name = cut(&range, ';');
    int how = 0;
    if (same(name, type)) how = 3;
    else if (same(name, "*/*")) how = 1;
    else if (kind && name.n == kind + 2 && strncasecmp((const char *)name.p, type, kind + 1) == 0 && name.p[kind + 1] == '*') how = 2;
    if (how < best || how == 0) continue;
    takes = !refuses(range) || (how == best && takes);
    best = how;
  }
  return takes;
}

bool http_tag_in(msub_bytes list, const char *tag) {
  while (list.n) {
    msub_bytes one = cut(&list, ',');
    if (same(one, "*")) return true;
    if (one.n > 2 && one.p[0] == 'W' && one.p[1] == '/') one.p += 2, one.n -= 2;
    if (msub_bytes_eq(one, msub_str(tag))) return true;
  }
  return false;
}

void http_date(int64_t unix_s, char out[32]) {
  static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
  static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
  const int64_t first = INT64_C(-62167219200), last = INT64_C(253402300799);
  struct tm t;
  time_t s = (time_t)(unix_s < first ? first : unix_s > last ? last : unix_s);
  if (!gmtime_r(&s, &t)) t = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
  snprintf(out, 32, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[(unsigned)t.tm_wday % 7], (unsigned)t.tm_mday % 100, months[(unsigned)t.tm_mon % 12],
           (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100, (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
}
