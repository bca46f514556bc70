#include "cli/http_routing.h"
#include <inttypes.h>
#include <meshsub/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/routing/v1/"
#define NS_OF_S 1000000000

struct routing {
  server server;
  http_bind bind;
  const routing_ops *ops;
  void *ud;
  uint64_t token;
  struct {
#define X(name) uint64_t name;
    ROUTING_COUNTS(X)
#undef X
  } counts;
};

/* Of a client whose question is with the ops. */
typedef struct question {
  uint64_t token; /* 0: none */
  bool put, head, continued;
  msub_peer_id name;
  char tags[512]; /* If-None-Match, as far as it fits */
} question;

int routing_check(const command *c, const char *option, const char *open_option, const routing_options *o) {
  http_bind b;
  if (!o->listen && o->open_to_network) return usage_error(c, "%s is for %s IP:PORT; give that as well", open_option, option);
  return o->listen ? http_address(c, option, o->listen, open_option, o->open_to_network, &b) : -1;
}

/* ---- answers ---- */

/* Everybody may read every answer: what is served here is public and signed. */
#define FOR_EVERYBODY                                                                                               \
  "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD, PUT, OPTIONS\r\nAccess-Control-Expose-Headers: ETag, Expires, Last-Modified\r\n" \
  "Vary: Accept\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"

#define NO_LENGTH SIZE_MAX /* 204 and 304: they have no body, and say nothing of one */

/* `more`: header lines. body NULL with n: a length without a body, as HEAD has it. */
__attribute__((format(printf, 5, 6))) static void answer(client *c, const char *status, const void *body, size_t n, const char *more, ...) {
  char head[2048], given[1024], length[48] = "";
  va_list args;
  va_start(args, more);
  (void)vsnprintf(given, sizeof given, more, args);
  va_end(args);
  if (n != NO_LENGTH) snprintf(length, sizeof length, "Content-Length: %zu\r\n", n);
  int len = snprintf(head, sizeof head, "HTTP/1.1 %s\r\n" FOR_EVERYBODY "%s%s\r\n", status, given, length);
  client_send(c, head, (size_t)len);
  if (body) client_send(c, body, n);
  c->owed = false;
  client_end(c);
}

#define TEXT_TYPE "Content-Type: text/plain; charset=utf-8\r\n"

/* `what`: a sentence without its end. */
static void refuse(client *c, const char *status, const char *cache, const char *what) {
  char text[512];
  int n = snprintf(text, sizeof text, "%.500s\n", what);
  const question *q = c->ud;
  answer(c, status, q->head ? NULL : text, (size_t)n, TEXT_TYPE "Cache-Control: %s\r\n", cache);
}

static void malformed(routing *r, client *c, const char *status, const char *what) {
  r->counts.malformed++;
  refuse(c, status, "no-store", what);
}

static uint64_t seconds(int64_t from_ns, int64_t to_ns) { return to_ns > from_ns ? ((uint64_t)to_ns - (uint64_t)from_ns) / NS_OF_S : 0; }

/* What caches may do with a record: as long as its TTL says; then, while they ask anew, until its end of life. */
static void found(routing *r, client *c, const question *q, const routing_reply *reply) {
  const msub_ipns_record *record = reply->record;
  uint8_t digest[32];
  char tag[36] = "\"", expires[32], modified[32], name[MSUB_IPNS_NAME_TEXT];
  msub_sha256(record->bytes, digest);
  put_hex(tag + 1, (msub_bytes){ digest, 16 });
  strcat(tag, "\"");
  uint64_t left = seconds((int64_t)wall_ns(), reply->ends_ns);
  uint64_t age = record->ttl_ns ? record->ttl_ns / NS_OF_S : ROUTING_AGE_S;
  if (age > left) age = left;
  http_date(record->eol.s, expires);
  http_date(reply->received_ns / NS_OF_S, modified);
  (void)msub_ipns_name_text(msub_peer_id_bytes(&q->name), name);
  r->counts.found++;
#define CACHING                                                                                                     \
  "ETag: %s\r\nCache-Control: public, max-age=%" PRIu64 ", stale-while-revalidate=%" PRIu64 ", stale-if-error=%" PRIu64 "\r\nExpires: %s\r\nLast-Modified: %s\r\n"
  if (http_tag_in(msub_str(q->tags), tag)) {
    answer(c, "304 Not Modified", NULL, NO_LENGTH, CACHING, tag, age, left - age, left - age, expires, modified);
    return;
  }
  answer(c, "200 OK", q->head ? NULL : record->bytes.p, record->bytes.n,
         "Content-Type: " ROUTING_TYPE "\r\nContent-Disposition: attachment; filename=\"%s.ipns-record\"\r\n" CACHING, name, tag, age, left - age, left - age,
         expires, modified);
}

static void answer_question(routing *r, client *c, const routing_reply *reply) {
  const question *q = c->ud;
  char missing[64];
  snprintf(missing, sizeof missing, "public, max-age=%u", ROUTING_MISSING_AGE_S);
  switch (reply->result) {
  case MSUB_OK:
    if (!q->put) {
      found(r, c, q, reply);
      return;
    }
    r->counts.taken++;
    answer(c, "200 OK", NULL, 0, "Cache-Control: no-store\r\n");
    return;
  case MSUB_ERR_NOTFOUND: refuse(c, "404 Not Found", missing, reply->why ? reply->why : "no record of this name was found"); return;
  case MSUB_ERR_TIMEOUT:
    if (q->put) malformed(r, c, "400 Bad Request", reply->why ? reply->why : "the record has expired");
    else refuse(c, "404 Not Found", missing, reply->why ? reply->why : "no record of this name was found in time");
    return;
  case MSUB_ERR_MALFORMED: malformed(r, c, "400 Bad Request", reply->why ? reply->why : "the record is not valid"); return;
  case MSUB_ERR_MISMATCH: refuse(c, "409 Conflict", "no-store", reply->why ? reply->why : "the record that is kept here is newer"); return;
  case MSUB_ERR_LIMIT:
    answer(c, "429 Too Many Requests", q->head ? NULL : "too much at a time; ask again\n", 30, TEXT_TYPE "Cache-Control: no-store\r\nRetry-After: 5\r\n");
    return;
  default: refuse(c, "503 Service Unavailable", "no-store", reply->why ? reply->why : msub_err_text(reply->result)); return;
  }
}

void routing_answer(routing *r, uint64_t token, const routing_reply *reply) {
  for (size_t i = 0; i < r->server.n; i++) {
    client *c = r->server.clients[i];
    question *q = c->ud;
    if (c->gone || c->ending || q->token != token) continue;
    q->token = 0;
    answer_question(r, c, reply);
    return;
  }
}

/* ---- requests ---- */

static bool starts(msub_bytes b, const char *with) { return b.n >= strlen(with) && memcmp(b.p, with, strlen(with)) == 0; }

/* -1, or what is wrong with the length: the body's, as the one Content-Length says. */
static int body_length(const http_request *h, size_t *out) {
  msub_bytes value;
  size_t n = http_header(h, "Content-Length", &value);
  *out = 0;
  if (n != 1 || value.n == 0 || value.n > 19) return n ? 400 : 411;
  for (size_t i = 0; i < value.n; i++) {
    if (value.p[i] < '0' || value.p[i] > '9') return 400;
    *out = *out * 10 + (size_t)(value.p[i] - '0');
  }
  return *out > MSUB_IPNS_RECORD_MAX ? 413 : -1;
}

/* The name, or what is wrong with the path. */
static const char *read_name(routing *r, client *c, const http_request *h, msub_peer_id *out) {
  char text[MSUB_IPNS_NAME_TEXT];
  msub_bytes path = h->path;
  if (!starts(path, PATH "ipns/")) {
    r->counts.unknown++;
    bool known = starts(path, PATH "providers") || starts(path, PATH "peers");
    refuse(c, known ? "501 Not Implemented" : "400 Bad Request", "no-store", known ? "names only are served here" : "there is /routing/v1/ipns/{name}");
    return NULL;
  }
  path.p += strlen(PATH "ipns/"), path.n -= strlen(PATH "ipns/");
  if (path.n > 0 && path.n < sizeof text) {
    memcpy(text, path.p, path.n);
    text[path.n] = 0;
    if (text[0] != '/' && msub_ipns_name_parse(text, out) == MSUB_OK) return text[0] ? "" : NULL;
  }
  malformed(r, c, "400 Bad Request", "not a name; write k51..., a CIDv1 of codec libp2p-key");
  return NULL;
}

static void preflight(routing *r, client *c, const http_request *h) {
  msub_bytes value;
  r->counts.preflights++;
  /* A page of a public site that asks a machine of the local network. */
  bool near = http_header(h, "Access-Control-Request-Private-Network", &value) == 1;
  answer(c, "204 No Content", NULL, NO_LENGTH, "Access-Control-Allow-Headers: Accept, Cache-Control, Content-Type, If-None-Match\r\nAccess-Control-Max-Age: 86400\r\n%s",
         near ? "Access-Control-Allow-Private-Network: true\r\n" : "");
}

static void begin(routing *r, client *c, question *q) {
  q->token = ++r->token;
  c->owed = true;
}

static void get(routing *r, client *c, question *q, const http_request *h) {
  msub_bytes accept, tags;
  if (http_header(h, "Accept", &accept) && accept.n && !http_accepts(accept, ROUTING_TYPE)) {
    r->counts.not_acceptable++;
    refuse(c, "406 Not Acceptable", "no-store", "records are served as they are; ask again with Accept: " ROUTING_TYPE);
    return;
  }
  if (http_header(h, "If-None-Match", &tags) == 1 && tags.n < sizeof q->tags) memcpy(q->tags, tags.p, tags.n);
  begin(r, c, q);
  r->counts.gets++;
  r->ops->get(r->ud, msub_peer_id_bytes(&q->name), q->token);
}

/* How many bytes were used: 0: the body is not whole yet. */
static size_t put(routing *r, client *c, question *q, const http_request *h, size_t head) {
  msub_bytes type, value;
  size_t n;
  if (http_header(h, "Content-Type", &type) != 1 || !http_type_is(type, ROUTING_TYPE)) {
    r->counts.not_acceptable++;
    refuse(c, "406 Not Acceptable", "no-store", "records are taken as they are; send it again with Content-Type: " ROUTING_TYPE);
    return c->in_n;
  }
  if (http_header(h, "Content-Encoding", &value) && !http_type_is(value, "identity")) {
    r->counts.not_acceptable++;
    refuse(c, "415 Unsupported Media Type", "no-store", "records are taken uncompressed; send it again without Content-Encoding");
    return c->in_n;
  }
  int wrong = http_header(h, "Transfer-Encoding", &value) ? 411 : body_length(h, &n);
  if (wrong == 413) {
    r->counts.too_long++;
    refuse(c, "413 Content Too Large", "no-store", "a record has at most 10,240 bytes");
  } else if (wrong == 411) {
    malformed(r, c, "411 Length Required", "say in Content-Length how long the record is");
  } else if (wrong > 0) {
    malformed(r, c, "400 Bad Request", "the Content-Length is no number, or stands twice");
  }
  if (wrong > 0) return c->in_n;
  if (c->in_n - head < n) {
    if (!q->continued && http_header(h, "Expect", &value) == 1 && http_type_is(value, "100-continue")) {
      static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
      q->continued = true;
      client_send(c, go_on, sizeof go_on - 1);
    }
    return 0;
  }
  begin(r, c, q);
  q->put = true;
  r->counts.puts++;
  r->ops->put(r->ud, msub_peer_id_bytes(&q->name), (msub_bytes){ c->in + head, n }, q->token);
  return c->in_n;
}

static size_t came(client *c) {
  routing *r = c->server->ud;
  question *q = c->ud;
  http_request h;
  if (c->owed) return c->in_n; /* a connection carries one request */
  size_t head = http_head(c->in, c->in_n);
  if (head == 0) return 0;
  if (head == SIZE_MAX) {
    r->counts.too_long++;
    refuse(c, "431 Request Header Fields Too Large", "no-store", "a request has at most 8192 bytes before its body");
    return c->in_n;
  }
  if (!http_parse(c->in, head, &h)) {
    malformed(r, c, "400 Bad Request", "not a request of HTTP/1");
    return c->in_n;
  }
  q->head = http_method_is(&h, "HEAD");
  bool asks = q->head || http_method_is(&h, "GET"), puts = http_method_is(&h, "PUT"), options = http_method_is(&h, "OPTIONS");
  const char *good = read_name(r, c, &h, &q->name);
  if (!good) return c->in_n;
  if (puts) return put(r, c, q, &h, head);
  if (asks) {
    get(r, c, q, &h);
  } else if (options) {
    preflight(r, c, &h);
  } else {
    r->counts.unknown++;
    refuse(c, "501 Not Implemented", "no-store", "there are GET, HEAD, PUT and OPTIONS");
  }
  return c->in_n;
}

/* ---- opening ---- */

static bool opened(client *c) {
  c->ud = take(sizeof(question));
  *(question *)c->ud = (question){ .token = 0 };
  return true;
}

static void closed(client *c) {
  const routing *r = c->server->ud;
  const question *q = c->ud;
  if (q->token) r->ops->gone(r->ud, q->token);
  free(c->ud);
}

int routing_open(const command *c, const char *option, const char *open_option, const routing_options *o, const routing_ops *ops, void *ud, routing **out) {
  routing *r = take(sizeof *r);
  int fd = -1, code = http_address(c, option, o->listen, open_option, o->open_to_network, &r->bind);
  if (code < 0) code = http_listen(c->program, option, o->listen, &r->bind, &fd);
  if (code >= 0) {
    free(r);
    return code;
  }
  r->ops = ops;
  r->ud = ud;
  server_init(&r->server, fd, r);
  r->server.in_max = HTTP_REQUEST_BYTES + MSUB_IPNS_RECORD_MAX + 3;
  r->server.whole_ns = ROUTING_SECONDS * UINT64_C(1000000000);
  r->server.linger_ns = ROUTING_LINGER_NS;
  r->server.opened = opened;
  r->server.came = came;
  r->server.closed = closed;
  say_error(c->program, "names at http://%s:%u/routing/v1/ipns/", r->bind.address, r->bind.port);
  *out = r;
  return -1;
}

void routing_close(routing *r) {
  if (!r) return;
  server_close(&r->server);
  free(r);
}

server *routing_server(routing *r) { return &r->server; }

void routing_metrics(const routing *r, const msub_metrics_opts *o) {
  struct routing now = *r;
  now.counts.clients_accepted = r->server.accepted;
  now.counts.clients_refused = r->server.refused;
  now.counts.late = r->server.late;
#define X(of) o->each(o->ud, &(msub_metric){ .name = "routing_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = now.counts.of });
  ROUTING_COUNTS(X)
#undef X
}
