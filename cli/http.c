#include "cli/http.h"
#include "cli/ipns_node.h"
#include "cli/local.h"
#include "cli/rendezvous.h"
#include "cli/store.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct http {
  node *n;
  const http_options *o;
  server server;
  http_bind bind;
  struct {
#define X(name) uint64_t name;
    HTTP_COUNTS(X)
#undef X
  } counts;
};

int http_check(const command *c, const http_options *o) {
  http_bind b;
  if (!o->listen && (o->hosts.n || o->open_to_network))
    return usage_error(c, "%s is for --metrics IP:PORT; give that as well", o->hosts.n ? "--metrics-host" : "--metrics-open-to-network");
  return o->listen ? http_address(c, "--metrics", o->listen, "--metrics-open-to-network", o->open_to_network, &b) : -1;
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
    if (!read_number(port, &number) || number != h->bind.port) return false;
    n = (size_t)(colon - host);
  }
  const char *const known[] = { "localhost", "127.0.0.1", "[::1]", h->bind.address };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strlen(known[i]) == n && strncasecmp(known[i], host, n) == 0) return true;
  for (size_t i = 0; i < h->o->hosts.n; i++)
    if (strlen(h->o->hosts.v[i]) == n && strncasecmp(h->o->hosts.v[i], host, n) == 0) return true;
  return false;
}

static void request(http *h, client *c, const uint8_t *text, size_t n) {
  http_request q;
  msub_bytes host;
  if (!http_parse(text, n, &q)) {
    h->counts.requests_malformed++;
    refuse(c, "400 Bad Request", "not a request of HTTP/1\n");
    return;
  }
  if (http_header(&q, "Host", &host) != 1 || !host_is_ours(h, (const char *)host.p, host.n)) {
    h->counts.hosts_refused++;
    refuse(c, "421 Misdirected Request", "the Host is not one of this endpoint's; --metrics-host NAME adds one\n");
    return;
  }
  bool head = http_method_is(&q, "HEAD");
  if (!head && !http_method_is(&q, "GET")) {
    h->counts.requests_malformed++;
    refuse(c, "405 Method Not Allowed", "GET and HEAD only\n");
    return;
  }
  if (!msub_bytes_eq(q.path, msub_str("/metrics"))) {
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
  size_t n = http_head(c->in, c->in_n);
  if (n == 0) return 0;
  if (n != SIZE_MAX) {
    request(h, c, c->in, n);
  } else {
    h->counts.requests_too_long++;
    refuse(c, "431 Request Header Fields Too Large", "a request has at most 8192 bytes\n");
  }
  return c->in_n;
}

/* ---- opening ---- */

int http_open(node *n, const http_options *o, http **out) {
  http *h = take(sizeof *h);
  int fd = -1, code = http_address(n->cmd, "--metrics", o->listen, "--metrics-open-to-network", o->open_to_network, &h->bind);
  if (code < 0) code = http_listen(n->cmd->program, "--metrics", o->listen, &h->bind, &fd);
  if (code >= 0) {
    free(h);
    return code;
  }
  h->n = n;
  h->o = o;
  server_init(&h->server, fd, h);
  h->server.in_max = HTTP_REQUEST_BYTES + 3;
  h->server.whole_ns = HTTP_SECONDS * UINT64_C(1000000000);
  h->server.came = came;
  say_error(n->cmd->program, "metrics at http://%s:%u/metrics", h->bind.address, h->bind.port);
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
  ipns_metrics(n->ipns, &o);
  node_output_metrics(n, &o);
  *len = w.n;
  return w.text;
}
