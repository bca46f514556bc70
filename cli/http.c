#include "cli/http.h"
#include "cli/local.h"
#include "cli/rendezvous.h"
#include "cli/store.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 16

struct http {
  node *n;
  const http_options *o;
  server server;
  char address[INET6_ADDRSTRLEN + 2]; /* as a URL has it */
  unsigned port;
  struct {
#define X(name) uint64_t name;
    HTTP_COUNTS(X)
#undef X
  } counts;
};

/* ---- the address ---- */

typedef struct bound {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } at;
  socklen_t n;
  bool loopback;
} bound;

static bool read_address(const char *text, bound *b) {
  char host[INET6_ADDRSTRLEN + 2];
  const char *colon = strrchr(text, ':');
  uint64_t port;
  size_t len = colon ? (size_t)(colon - text) : 0;
  *b = (bound){ .n = 0 };
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

int http_check(const command *c, const http_options *o) {
  bound b;
  if (!o->listen && (o->hosts.n || o->open_to_network))
    return usage_error(c, "%s is for --metrics IP:PORT; give that as well", o->hosts.n ? "--metrics-host" : "--metrics-open-to-network");
  if (!o->listen) return -1;
  if (!read_address(o->listen, &b)) return usage_error(c, "--metrics %s: not an address; write 127.0.0.1:9090 or [::1]:9090", quoted(o->listen));
  if (!b.loopback && !o->open_to_network)
    return usage_error(c, "--metrics %s: can be reached from the network, by anybody; write 127.0.0.1:PORT, or --metrics-open-to-network if that is meant",
                       quoted(o->listen));
  return -1;
}

/* ---- answers ---- */

static void answer(client *c, const char *status, bool head, const char *type, const char *body, size_t n) {
  char text[512];
  int len = snprintf(text, sizeof text,
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                     "%sConnection: close\r\n\r\n",
                     status, type, n, strncmp(status, "405", 3) == 0 ? "Allow: GET, HEAD\r\n" : "");
  client_send(c, text, (size_t)len);
  if (!head) client_send(c, body, n);
  client_end(c);
}

static void refuse(client *c, const char *status, const char *why) { answer(c, status, false, "text/plain; charset=utf-8", why, strlen(why)); }

/* "localhost:9090": the name is one of ours, and so is the port, if it has one. */
static bool host_is_ours(const http *h, const char *host, size_t n) {
  const char *end = host + n, *colon = NULL;
  for (const char *p = host; p < end; p++)
    if (*p == ':') colon = p;
    else if (*p == ']') colon = NULL;
  if (colon) {
    char port[8];
    uint64_t number;
    size_t digits = (size_t)(end - colon - 1);
    if (digits == 0 || digits >= sizeof port) return false;
    memcpy(port, colon + 1, digits);
    port[digits] = 0;
    if (!read_number(port, &number) || number != h->port) return false;
    n = (size_t)(colon - host);
  }
  const char *const known[] = { "localhost", "127.0.0.1", "[::1]", h->address };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strlen(known[i]) == n && strncasecmp(known[i], host, n) == 0) return true;
  for (size_t i = 0; i < h->o->hosts.n; i++)
    if (strlen(h->o->hosts.v[i]) == n && strncasecmp(h->o->hosts.v[i], host, n) == 0) return true;
  return false;
}

/* The one Host header; NULL: there is none, or more than one. */
static const char *host_of(const char *line, const char *end, size_t *n) {
  const char *found = NULL;
  while (line < end) {
    const char *eol = memchr(line, '\n', (size_t)(end - line));
    if (!eol) eol = end;
    if (eol - line > 5 && strncasecmp(line, "Host:", 5) == 0) {
      if (found) return NULL;
      found = line + 5;
      const char *stop = eol;
      while (found < stop && (*found == ' ' || *found == '\t')) found++;
      while (stop > found && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t')) stop--;
      *n = (size_t)(stop - found);
    }
    line = eol + 1;
  }
  return found;
}

static void request(http *h, client *c, const char *text, size_t n) {
  const char *end = text + n, *eol = memchr(text, '\n', n);
  const char *method_end = eol ? memchr(text, ' ', (size_t)(eol - text)) : NULL;
  const char *target = method_end ? method_end + 1 : NULL, *target_end = target ? memchr(target, ' ', (size_t)(eol - target)) : NULL;
  size_t host_n, target_n = target_end ? (size_t)(target_end - target) : 0;
  if (!target_end || target[0] != '/' || eol - target_end < 9 || strncmp(target_end + 1, "HTTP/1.", 7) != 0 || memchr(text, 0, n)) {
    h->counts.requests_malformed++;
    refuse(c, "400 Bad Request", "not a request of HTTP/1\n");
    return;
  }
  const char *host = host_of(eol + 1, end, &host_n);
  if (!host || !host_is_ours(h, host, host_n)) {
    h->counts.hosts_refused++;
    refuse(c, "421 Misdirected Request", "the Host is not one of this endpoint's; --metrics-host NAME adds one\n");
    return;
  }
  bool head = method_end - text == 4 && strncmp(text, "HEAD", 4) == 0;
  if (!head && !(method_end - text == 3 && strncmp(text, "GET", 3) == 0)) {
    h->counts.requests_malformed++;
    refuse(c, "405 Method Not Allowed", "GET and HEAD only\n");
    return;
  }
  const char *query = memchr(target, '?', target_n);
  if (query) target_n = (size_t)(query - target);
  if (target_n != 8 || strncmp(target, "/metrics", 8) != 0) {
    h->counts.not_found++;
    refuse(c, "404 Not Found", "there is /metrics\n");
    return;
  }
  h->counts.requests++;
  size_t len;
  char *body = metrics_text(h->n, h, &len);
  answer(c, "200 OK", head, "text/plain; version=0.0.4; charset=utf-8", body, len);
  free(body);
}

static size_t came(client *c) {
  http *h = c->server->ud;
  const char *text = (const char *)c->in;
  for (size_t i = 0; i < c->in_n && i < HTTP_REQUEST_BYTES; i++) { /* an empty line ends the headers */
    if (text[i] != '\n' || i + 1 >= c->in_n) continue;
    if (text[i + 1] != '\n' && !(text[i + 1] == '\r' && i + 2 < c->in_n && text[i + 2] == '\n')) continue;
    if (i + 2 >= HTTP_REQUEST_BYTES) break;
    request(h, c, text, i + 1);
    return c->in_n;
  }
  if (c->in_n <= HTTP_REQUEST_BYTES) return 0;
  h->counts.requests_too_long++;
  refuse(c, "431 Request Header Fields Too Large", "a request has at most 8192 bytes\n");
  return c->in_n;
}

/* ---- opening ---- */

int http_open(node *n, const http_options *o, http **out) {
  bound b;
  if (!read_address(o->listen, &b)) return EXIT_FAILED; /* http_check() has said so */
  int fd = socket(b.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd >= 0) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd < 0 || bind(fd, &b.at.any, b.n) != 0 || listen(fd, BACKLOG) != 0 || getsockname(fd, &b.at.any, &b.n) != 0) {
    say_error(n->cmd->program, "--metrics %s: %s", quoted(o->listen), strerror(errno));
    if (fd >= 0) close(fd);
    return EXIT_FAILED;
  }
  http *h = take(sizeof *h);
  h->n = n;
  h->o = o;
  char text[INET6_ADDRSTRLEN];
  if (b.at.any.sa_family == AF_INET6) {
    snprintf(h->address, sizeof h->address, "[%s]", inet_ntop(AF_INET6, &b.at.v6.sin6_addr, text, sizeof text));
    h->port = ntohs(b.at.v6.sin6_port);
  } else {
    snprintf(h->address, sizeof h->address, "%s", inet_ntop(AF_INET, &b.at.v4.sin_addr, text, sizeof text));
    h->port = ntohs(b.at.v4.sin_port);
  }
  server_init(&h->server, fd, h);
  h->server.in_max = HTTP_REQUEST_BYTES + 3;
  h->server.whole_ns = HTTP_SECONDS * UINT64_C(1000000000);
  h->server.came = came;
  say_error(n->cmd->program, "metrics at http://%s:%u/metrics", h->address, h->port);
  *out = h;
  return -1;
}

void http_close(http *h) {
  if (!h) return;
  server_close(&h->server);
  free(h);
}

server *http_server(http *h) { return &h->server; }

/* ---- the text ---- */

typedef struct writer {
  char *text;
  size_t n, cap;
  const char *last; /* name of the metric before */
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (w->cap - w->n < 4096) {
    w->cap = w->cap * 2 + 8192;
    w->text = grow(w->text, w->cap, 1);
  }
  w->n += (size_t)vsnprintf(w->text + w->n, w->cap - w->n, format, args);
  va_end(args);
}

/* Text as it is, other bytes as \xNN; what the format escapes is escaped. At most 256 bytes come in. */
static void put_label(writer *w, msub_bytes value) {
  char shown[1100];
  if (!is_text(value)) value = msub_str(msub_escape(shown, sizeof shown, value));
  for (size_t i = 0; i < value.n; i++) {
    if (value.p[i] == '\n') put(w, "\\n");
    else if (value.p[i] == '\\' || value.p[i] == '"') put(w, "\\%c", value.p[i]);
    else put(w, "%c", value.p[i]);
  }
}

static void put_metric(void *ud, const msub_metric *m) {
  writer *w = ud;
  if (!w->last || strcmp(w->last, m->name) != 0) put(w, "# TYPE %s %s\n", m->name, m->kind == MSUB_METRIC_COUNTER ? "counter" : "gauge");
  w->last = m->name;
  put(w, "%s", m->name);
  if (m->label) {
    put(w, "{%s=\"", m->label);
    put_label(w, m->value_of_label);
    put(w, "\"}");
  }
  put(w, " %" PRIu64 "\n", m->value);
}

static void http_metrics(const http *h, const msub_metrics_opts *o) {
  struct http now = *h;
  now.counts.clients_accepted = h->server.accepted;
  now.counts.clients_refused = h->server.refused;
  now.counts.late = h->server.late;
#define X(of) o->each(o->ud, &(msub_metric){ .name = "http_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = now.counts.of });
  HTTP_COUNTS(X)
#undef X
}

char *metrics_text(node *n, const http *h, size_t *len) {
  writer w = { 0 };
  msub_metrics_opts o;
  msub_metrics_opts_init(&o);
  o.each = put_metric;
  o.ud = &w;
  (void)msub_host_metrics(n->host, &o); /* what there is no memory for is left out */
  if (n->local) local_metrics(n->local, &o);
  if (h) http_metrics(h, &o);
  rendezvous_metrics(n->meeting, &o);
  store_metrics(n->store, &o);
  *len = w.n;
  return w.text;
}
