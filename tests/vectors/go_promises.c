/* tests/vectors/go_promises.c: which promises count as broken, against go-libp2p-pubsub. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "routers/gossipsub/promises.h"
#include "tests/vectors/vectors.h"

static uint64_t hash(const char *id) {
  uint64_t h = 0xcbf29ce484222325;
  for (; *id; id++) h = (h ^ (uint8_t)*id) * 0x100000001b3;
  return h;
}
static const char *str(const json_t *e, size_t i) { return json_string_value(json_array_get(e, i)); }

/* Takes out all that are broken; are they the expected ones? Peers are single letters. */
static bool broken(msub__promises *p, const msub_mem *mem, uint64_t now, const json_t *want) {
  unsigned n[128] = { 0 };
  for (uint32_t peer; (peer = msub__promises_broken(p, mem, now)) != MSUB__NONE;) n[peer]++;
  for (char c = 'A'; c <= 'Z'; c++)
    if (n[(unsigned)c] != (unsigned)json_integer_value(json_object_get(want, (char[2]){ c, 0 }))) return false;
  return true;
}

int main(void) {
  json_t *file = vec_load("go/promises.json"), *c, *e;
  vec_tally t = { .file = "go/promises.json" };
  msub_mem mem = msub__mem_default();
  size_t i, k;
  json_array_foreach(json_object_get(file, "cases"), i, c) {
    msub__promises p;
    msub__promises_init(&p);
    uint64_t follow_up = (uint64_t)json_integer_value(json_object_get(c, "follow_up_ms"));
    bool ok = true;
    json_array_foreach(json_object_get(c, "events"), k, e) {
      uint64_t now = (uint64_t)json_integer_value(json_array_get(e, 0));
      const char *op = str(e, 1);
      if (strcmp(op, "ask") == 0) { /* any of the ids will do: where it matters there is one */
        msub__promises_add(&p, &mem, hash(str(e, 3 + (size_t)((now + i) % (json_array_size(e) - 3)))), (uint32_t)*str(e, 2), now + follow_up);
      } else if (strcmp(op, "validate") == 0 || strcmp(op, "deliver") == 0) {
        msub__promises_keep(&p, hash(str(e, 2)));
      } else if (strcmp(op, "reject") == 0) {
        if (strcmp(str(e, 3), "missing signature") != 0 && strcmp(str(e, 3), "invalid signature") != 0) msub__promises_keep(&p, hash(str(e, 2)));
      } else if (strcmp(op, "throttle") == 0 || strcmp(op, "close") == 0) {
        msub__promises_release(&p, (uint32_t)*str(e, 2));
      } else if (strcmp(op, "broken") == 0) {
        if (!(ok = broken(&p, &mem, now, json_array_get(e, 2)))) break;
      } else if (strcmp(op, "duplicate") != 0) {
        fprintf(stderr, "unknown operation %s\n", op);
        abort();
      }
    }
    vec_case(&t, c, ok, "event %zu", k);
    msub__promises_fini(&p, &mem);
  }
  json_decref(file);
  return vec_end(&t);
}
