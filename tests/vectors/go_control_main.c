/* tests/vectors/go_control_main.c: one gossipsub node with scripted peers in virtual time, against go-libp2p-pubsub. Each
 * case is replayed with several seeds in profile go-parity; where something is chosen at random, with as many as the
 * recording took, and then everybody must have been chosen who was chosen there. */
#include <stdio.h>
#include <string.h>
#include "tests/vectors/go_control.h"
#include "tests/vectors/vectors.h"

#define SEEDS 4          /* of a case without choices */
#define SEEDS_CHOICE 160 /* as many as the recording had */

typedef struct tally { vec_tally t; struct { const char *what; unsigned n; } skipped[16]; } tally;

static void skip(tally *t, const char *what) {
  size_t i = 0;
  t->t.cases++;
  t->t.skipped++;
  while (t->skipped[i].what && strcmp(t->skipped[i].what, what) != 0) i++;
  GC_MUST(i < 16);
  t->skipped[i].what = what;
  t->skipped[i].n++;
}

static bool chooses(const json_t *c) {
  json_t *e, *value;
  const char *key;
  size_t i;
  json_array_foreach(gc_get(c, "expect"), i, e)
    json_object_foreach(e, key, value)
      if (strcmp(key, "choice") == 0 || strcmp(key, "trace_choice") == 0) return true;
  return false;
}

static void one(tally *t, const json_t *c) {
  const char *what = gc_missing(c), *why = NULL;
  if (what) {
    skip(t, what);
    return;
  }
  gc_arena a = { NULL };
  gc_spread spread = { .n = 0 };
  int64_t until;
  bool ruled;
  json_t *expect = gc_by_rules(&a, c, &until, &ruled);
  for (uint64_t seed = 1, seeds = chooses(c) ? SEEDS_CHOICE : SEEDS; seed <= seeds && !why; seed++) {
    gc_run run;
    gc_replay(c, seed, &run);
    why = gc_compare(&run, expect, until, &spread);
    if (why) why = gc_text(&a, "seed %u, %s", (unsigned)seed, why);
    gc_run_free(&run);
  }
  if (!why) why = gc_compare_spread(&spread);
  if (!why && ruled) {
    t->t.cases++;
    t->t.by_rule++;
  } else vec_case(&t->t, c, !why, "%s", why);
  json_decref(expect);
  gc_free(&spread.arena);
  gc_free(&a);
}

static int file(const char *name) {
  tally t = { .t = { .file = name } };
  json_t *root = vec_load(name), *c;
  size_t i;
  json_array_foreach(gc_get(root, "cases"), i, c) one(&t, c);
  for (i = 0; t.skipped[i].what; i++) (void)printf("skipped, needs %s: %u\n", t.skipped[i].what, t.skipped[i].n);
  json_decref(root);
  return vec_end(&t.t);
}

int main(void) {
  int rc = file("go/control.json");
  return file("go/found.json") || rc;
}
