/* tests/fuzz/fuzz_http.c: requests to the metrics endpoint (cli/http.c) and to that of names (cli/http_routing.c), over cli/serve.c and cli/http_wire.c.
 *
 * The input: a byte whose upper half says how many bytes go at a time (a power of two), its lowest bit which endpoint (1: names), the next one whether names answer at once or
 * later; then the request. Whatever comes there is at most one answer, whole, of as many bytes as it says, and the connection ends; it does not depend on
 * the pieces. Metrics are only told to a request whose one Host is the endpoint's. Records that are handed over are no longer than a record may be, each
 * question is answered or given up once, and every answer of names may be read by any page. */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "cli/http.h"
#include "cli/http_routing.h"
#include "tests/fuzz/cli_node.h"
#include "tests/fuzz/fuzz.h"

static http *endpoint;
static routing *names;
static void clean_up(void) {
  http_close(endpoint);
  routing_close(names);
}

/* ---- names: one that is known, whose record is made here ---- */

static bool later;
static struct { uint64_t token; bool put; bool good; } waiting; /* token 0: nothing waits */
static size_t questions, answers;
static uint8_t record[512];
static size_t record_n;
static msub_peer_id known;

static void make_record(void) {
  static const uint8_t seed[32] = { 4 };
  const msub_ipns_new what = { .value = msub_str("/ipfs/bafkqaaa"), .eol = { 4000000000, 0 }, .ttl_ns = 60000000000 };
  msub_key *key;
  FUZZ_CHECK(msub_key_from_seed(seed, &key) == MSUB_OK && msub_ipns_make(key, &what, record, sizeof record, &record_n) == MSUB_OK);
  known = msub_peer_id_of(msub_key_peer_id(key));
  msub_key_free(key);
}

static void give(uint64_t token, bool put, bool good) {
  msub_ipns_record r;
  routing_reply reply = { .result = good ? MSUB_OK : put ? MSUB_ERR_MALFORMED : MSUB_ERR_NOTFOUND };
  FUZZ_CHECK(msub_ipns_read((msub_bytes){ record, record_n }, &r) == MSUB_IPNS_OK);
  if (good && !put) reply.record = &r, reply.ends_ns = INT64_MAX;
  answers++;
  routing_answer(names, token, &reply);
}

static void ask_names(uint64_t token, bool put, bool good) {
  FUZZ_CHECK(waiting.token == 0 && token != 0);
  questions++;
  if (!later) {
    give(token, put, good);
    return;
  }
  waiting.token = token;
  waiting.put = put;
  waiting.good = good;
}

static void get(void *ud, msub_bytes name, uint64_t token) {
  (void)ud;
  FUZZ_CHECK(msub_peer_id_check(name) == MSUB_OK);
  ask_names(token, false, msub_bytes_eq(name, msub_peer_id_bytes(&known)));
}
static void put(void *ud, msub_bytes name, msub_bytes bytes, uint64_t token) {
  msub_ipns_record r;
  (void)ud;
  FUZZ_CHECK(msub_peer_id_check(name) == MSUB_OK && bytes.n <= MSUB_IPNS_RECORD_MAX);
  ask_names(token, true, msub_ipns_verify(name, bytes, 0, 0, &r) == MSUB_IPNS_OK);
}
static void gone(void *ud, uint64_t token) {
  (void)ud;
  FUZZ_CHECK(waiting.token == token);
  waiting.token = 0;
  answers++;
}

/* A question of before this turn is answered now. */
static void names_turn(void) {
  uint64_t token = waiting.token;
  waiting.token = 0;
  if (token) give(token, waiting.put, waiting.good);
}

static server *served_names(void) {
  static const routing_options o = { .listen = "127.0.0.1:0" };
  static const routing_ops ops = { get, put, gone };
  static const command c = { "fuzz", "", "", NULL };
  if (!names) {
    make_record();
    FUZZ_CHECK(routing_open(&c, "--routing", "--routing-open-to-network", &o, &ops, NULL, &names) < 0);
    routing_server(names)->linger_ns = 0; /* nobody waits for it */
    if (!endpoint) (void)atexit(clean_up);
  }
  return routing_server(names);
}

static http *served(void) {
  static const http_options o = { .listen = "127.0.0.1:0" };
  if (endpoint) return endpoint;
  FUZZ_CHECK(http_open(fuzz_node(), &o, &endpoint) < 0);
  if (!names) (void)atexit(clean_up);
  return endpoint;
}

/* The value of the one Host line of a request, in lower case, without a port; empty: none, or several. Written apart from the endpoint's. */
static void host_in(const char *text, size_t n, char out[64]) {
  size_t at = 0, found = 0;
  out[0] = 0;
  for (unsigned line = 0; at < n; line++) {
    size_t end = at;
    while (end < n && text[end] != '\n') end++;
    if (line > 0 && (end == at || (end == at + 1 && text[at] == '\r'))) break;
    if (line > 0 && end - at > 5 && strncasecmp(text + at, "host:", 5) == 0) {
      size_t k = 0, from = at + 5, to = end;
      while (from < to && (text[from] == ' ' || text[from] == '\t')) from++;
      for (; from + k < to && k < 63; k++) out[k] = (char)tolower((unsigned char)text[from + k]);
      while (k > 0 && (out[k - 1] == ' ' || out[k - 1] == '\t' || out[k - 1] == '\r')) k--;
      out[k] = 0;
      if (out[0] == '[' ? strchr(out, ']') != NULL : strchr(out, ':') != NULL) {
        char *colon = out[0] == '[' ? strchr(out, ']') + 1 : strchr(out, ':');
        if (*colon == ':') *colon = 0;
      }
      found++;
    }
    at = end + 1;
  }
  if (found != 1) out[0] = 0;
}

/* 0: no answer. */
static unsigned check_answer(const talk *t, bool head) {
  static const unsigned codes[] = { 200, 400, 404, 405, 421, 431 };
  unsigned code = 0, length = 0, i = 0;
  if (t->out_n == 0) return 0;
  char *text = malloc(t->out_n + 1);
  FUZZ_CHECK(text);
  memcpy(text, t->out, t->out_n);
  text[t->out_n] = 0;
  FUZZ_CHECK(sscanf(text, "HTTP/1.1 %3u ", &code) == 1);
  while (i < sizeof codes / sizeof *codes && codes[i] != code) i++;
  FUZZ_CHECK(i < sizeof codes / sizeof *codes);
  const char *body = strstr(text, "\r\n\r\n"), *says = strstr(text, "\r\nContent-Length: "), *ends = strstr(text, "\r\nConnection: close\r\n");
  FUZZ_CHECK(body && says && ends && says < body && ends < body && sscanf(says, "\r\nContent-Length: %u\r\n", &length) == 1 && length > 0);
  size_t sent = t->out_n - (size_t)(body + 4 - text);
  FUZZ_CHECK(sent == length || (code == 200 && head && sent == 0));
  free(text);
  return code;
}

static unsigned ask(const uint8_t *data, size_t size, size_t piece, bool head) {
  talk t;
  server *s = http_server(served());
  talk_begin(&t, s, data, size, piece);
  talk_all(&t, 1, s);
  unsigned code = check_answer(&t, head);
  talk_end(&t);
  return code;
}

/* 0: no answer. */
static unsigned check_names(const talk *t, bool head) {
  static const unsigned codes[] = { 200, 204, 304, 400, 404, 406, 411, 413, 415, 431, 501 };
  static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  unsigned code = 0, length = 0, i = 0;
  size_t skip = t->out_n >= sizeof go_on - 1 && memcmp(t->out, go_on, sizeof go_on - 1) == 0 ? sizeof go_on - 1 : 0;
  if (t->out_n == skip) return 0;
  char *all = malloc(t->out_n + 1), *text = all + skip;
  FUZZ_CHECK(all);
  memcpy(all, t->out, t->out_n);
  all[t->out_n] = 0;
  FUZZ_CHECK(sscanf(text, "HTTP/1.1 %3u ", &code) == 1);
  while (i < sizeof codes / sizeof *codes && codes[i] != code) i++;
  FUZZ_CHECK(i < sizeof codes / sizeof *codes);
  const char *body = strstr(text, "\r\n\r\n"), *says = strstr(text, "\r\nContent-Length: "), *open = strstr(text, "\r\nAccess-Control-Allow-Origin: *\r\n");
  FUZZ_CHECK(body && open && open < body && strstr(text, "\r\nConnection: close\r\n"));
  size_t sent = t->out_n - (size_t)(body + 4 - all);
  if (code == 204 || code == 304) FUZZ_CHECK(!says && sent == 0);
  else FUZZ_CHECK(says && says < body && sscanf(says, "\r\nContent-Length: %u\r\n", &length) == 1 && (sent == length || (head && sent == 0)));
  if (code == 200 && length) FUZZ_CHECK(length == record_n && (sent == 0 || memcmp(body + 4, record, record_n) == 0));
  free(all);
  return code;
}

static unsigned ask_for_name(const uint8_t *data, size_t size, size_t piece, bool head) {
  talk t;
  server *s = served_names();
  talk_begin(&t, s, data, size, piece);
  talk_all(&t, 1, s);
  unsigned code = check_names(&t, head);
  talk_end(&t);
  FUZZ_CHECK(questions == answers && waiting.token == 0);
  return code;
}

static int of_names(const uint8_t *data, size_t size, size_t piece, bool head) {
  unsigned code = ask_for_name(data, size, size, head);
  FUZZ_CHECK(code == ask_for_name(data, size, piece, head));
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const ours[] = { "localhost", "127.0.0.1", "[::1]" };
  if (size == 0 || size > 65536) return 0;
  size_t piece = (size_t)1 << (data[0] >> 4), i = 0;
  bool head = size > 5 && memcmp(data + 1, "HEAD ", 5) == 0;
  later = data[0] & 2;
  talk_turn = names_turn;
  if (data[0] & 1) return of_names(data + 1, size - 1, piece, head);
  unsigned code = ask(data + 1, size - 1, size, head), again = ask(data + 1, size - 1, piece, head);
  FUZZ_CHECK(code == again);
  if (code != 200) return 0;
  char host[64];
  host_in((const char *)data + 1, size - 1, host);
  while (i < sizeof ours / sizeof *ours && strcmp(ours[i], host) != 0) i++;
  FUZZ_CHECK(i < sizeof ours / sizeof *ours);
  FUZZ_CHECK(head || memcmp(data + 1, "GET ", 4) == 0);
  return 0;
}
