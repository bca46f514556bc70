/* tests/fuzz/fuzz_local.c: what programs say on the local socket (cli/local.c, cli/ipns_local.c, cli/serve.c; docs/socket.md).
 *
 * The input: a byte of flags, then lines. Each line is a frame of the client that its first byte, 'a', 'b' or 'c', names, or of the first one; or,
 * with flag 1, all of it is one client's bytes as they stand. Flag 2: every client has said hello and asked for credit. Upper half: how many
 * bytes go at a time, a power of two.
 *
 * Whatever comes, each client hears whole frames of one JSON object, first the greeting; what is answered says ok or why not; when the clients
 * are gone, and the node's names with them, no topic is joined or held open. Names begin anew with each input; what was wished of them outlives a
 * restart. */
#include <jansson.h>
#include <meshsub/ipns.h>
#include <string.h>
#include <unistd.h>
#include "cli/local.h"
#include "cli/state.h"
#include "tests/fuzz/cli_node.h"
#include "tests/fuzz/fuzz.h"

enum { RAW = 1, GREETED = 2, CLIENTS = 3 };
#define HELLO "{\"op\":\"hello\",\"version\":1}"
#define CREDIT "{\"op\":\"credit\",\"n\":9}"

static char path[64];
static void clean_up(void) {
  local_close(fuzz_node()->local);
  fuzz_node()->local = NULL;
}

static local *served(void) {
  node *n = fuzz_node();
  if (n->local) return n->local;
  (void)snprintf(path, sizeof path, "/tmp/fuzz-local-%ld", (long)getpid());
  FUZZ_CHECK(local_open(n, path, &n->local) < 0);
  (void)atexit(clean_up);
  return n->local;
}

/* ---- what is said ---- */

typedef struct text {
  uint8_t *p;
  size_t n;
} text;

static void put_frame(text *t, const void *bytes, size_t n) {
  const uint8_t head[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
  t->p = realloc(t->p, t->n + 4 + n);
  FUZZ_CHECK(t->p);
  memcpy(t->p + t->n, head, 4);
  if (n > 0) memcpy(t->p + t->n + 4, bytes, n);
  t->n += 4 + n;
}

static void put_lines(text all[CLIENTS], const uint8_t *data, size_t size) {
  while (size > 0) {
    const uint8_t *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - data) : size, who = 0;
    if (n > 0 && data[0] >= 'a' && data[0] < 'a' + CLIENTS) {
      who = (size_t)(data[0] - 'a');
      put_frame(&all[who], data + 1, n - 1);
    } else {
      put_frame(&all[0], data, n);
    }
    data += n;
    size -= n;
    if (end) data++, size--;
  }
}

/* ---- what is heard ---- */

/* Of a record, or a key. */
static void check_name(const json_t *j) {
  const json_t *name = json_object_get(j, "name"), *sequence = json_object_get(j, "sequence");
  msub_peer_id id;
  FUZZ_CHECK(!name || msub_ipns_name_parse(json_string_value(name), &id) == MSUB_OK);
  FUZZ_CHECK(!sequence || (name && json_is_integer(sequence) && json_is_string(json_object_get(j, "valid_until"))));
}

static void check_frame(const json_t *j, size_t i) {
  const char *ev = json_string_value(json_object_get(j, "ev"));
  const json_t *ok = json_object_get(j, "ok");
  FUZZ_CHECK(json_is_object(j) && (ev != NULL) != (ok != NULL));
  if (i == 0) FUZZ_CHECK(ev && strcmp(ev, "hello") == 0 && json_is_integer(json_object_get(j, "pid")));
  check_name(j);
  json_t *one;
  size_t k;
  json_array_foreach(json_object_get(j, "keys"), k, one) check_name(one);
  json_array_foreach(json_object_get(j, "names"), k, one) check_name(one);
  if (!ok) return;
  FUZZ_CHECK(json_is_boolean(ok));
  if (json_is_false(ok)) FUZZ_CHECK(json_string_length(json_object_get(j, "code")) > 0 && json_string_length(json_object_get(j, "error")) > 0);
}

static void check_heard(const talk *t) {
  size_t at = 0, i = 0;
  json_error_t error;
  for (; at < t->out_n; i++) {
    FUZZ_CHECK(t->out_n - at >= 4);
    const uint8_t *p = t->out + at;
    size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    FUZZ_CHECK(n <= t->out_n - at - 4);
    json_t *j = json_loadb((const char *)p + 4, n, JSON_REJECT_DUPLICATES, &error);
    check_frame(j, i);
    json_decref(j);
    at += 4 + n;
  }
  FUZZ_CHECK(i > 0);
}

static void check_nothing_left(void) {
  json_t *all = json_object(), *one;
  size_t i;
  FUZZ_CHECK(state_json(fuzz_node()->host, all) == MSUB_OK);
  json_array_foreach(json_object_get(all, "topics"), i, one)
    FUZZ_CHECK(json_integer_value(json_object_get(one, "joins")) == 0 && json_integer_value(json_object_get(one, "opens")) == 0);
  json_decref(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  text texts[CLIENTS] = { { NULL, 0 } };
  talk talks[CLIENTS];
  if (size == 0 || size > 65536) return 0;
  fuzz_names_begin();
  server *s = local_server(served());
  bool raw = data[0] & RAW;
  size_t piece = (size_t)1 << (data[0] >> 4), n = raw ? 1 : CLIENTS;
  for (size_t i = 0; i < n && data[0] & GREETED; i++) {
    put_frame(&texts[i], HELLO, sizeof HELLO - 1);
    put_frame(&texts[i], CREDIT, sizeof CREDIT - 1);
  }
  if (!raw) put_lines(texts, data + 1, size - 1);
  else if (size > 1) {
    texts[0].p = realloc(texts[0].p, texts[0].n + size - 1);
    FUZZ_CHECK(texts[0].p);
    memcpy(texts[0].p + texts[0].n, data + 1, size - 1);
    texts[0].n += size - 1;
  }
  for (size_t i = 0; i < n; i++) talk_begin(&talks[i], s, texts[i].p, texts[i].n, piece);
  talk_all(talks, n, s);
  for (size_t i = 0; i < n; i++) {
    check_heard(&talks[i]);
    talk_end(&talks[i]);
    free(texts[i].p);
  }
  fuzz_names_end();
  check_nothing_left();
  return 0;
}
