/* tests/differential/engine.c: the engine's side of the differential run. The replay and the comparison are those of the
 * recorded vectors (tests/vectors/go_control*.c); here the cases come from a file, one to a line.
 *
 *   engine observe IN OUT   adds to each case what the engine does, as the "guide" of the other side's choices
 *   engine compare IN       one line of JSON per case: {"name", "verdict", "why"}; verdict: equal, rule, differs, skipped */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/vectors/go_control.h"

static uint64_t seed_of(const json_t *c) { return (uint64_t)json_integer_value(gc_get(c, "seed")); }

static json_t *line_of(const gc_item *i) { return json_pack("[ssss]", i->peer, i->kind, i->what, i->more); }

static json_t *guide_of(const gc_instant *at) {
  json_t *sent = json_array(), *dialed = json_array();
  for (size_t k = 0; k < at->offered.n; k++) (void)json_array_append_new(sent, line_of(&at->offered.i[k]));
  for (size_t k = 0; k < at->trace.n; k++) {
    const char *s = at->trace.s[k];
    if (strncmp(s, "dial ", 5) == 0) (void)json_array_append_new(dialed, json_stringn(s + 5, strcspn(s + 5, " ")));
  }
  json_t *g = json_pack("{s:I,s:o,s:o}", "t", (json_int_t)at->t, "sent", sent, "dialed", dialed);
  GC_MUST(g);
  if (at->peers) (void)json_object_update(g, at->peers);
  return g;
}

static void observe(json_t *c, FILE *out) {
  gc_run run;
  json_t *guide = json_array();
  if (!gc_missing(c)) {
    gc_watch(c, seed_of(c), &run);
    for (size_t i = 0; i < run.n; i++) (void)json_array_append_new(guide, guide_of(&run.at[i]));
    gc_run_free(&run);
  }
  (void)json_object_set_new(c, "guide", guide);
  GC_MUST(json_dumpf(c, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF);
}

static void verdict(const json_t *c, const char *what, const char *why) {
  json_t *j = json_pack("{s:O,s:s,s:s*}", "name", gc_get(c, "name"), "verdict", what, "why", why);
  GC_MUST(j && json_dumpf(j, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF);
  json_decref(j);
}

static void compare(const json_t *c) {
  const char *why = gc_missing(c);
  gc_arena a = { NULL };
  gc_spread spread = { .n = 0 };
  gc_run run;
  int64_t until;
  bool ruled;
  if (why) {
    verdict(c, "skipped", why);
    return;
  }
  json_t *expect = gc_by_rules(&a, c, &until, &ruled);
  gc_replay(c, seed_of(c), &run);
  why = gc_compare(&run, expect, until, &spread);
  verdict(c, why ? "differs" : ruled ? "rule" : "equal", why);
  gc_run_free(&run);
  json_decref(expect);
  gc_free(&spread.arena);
  gc_free(&a);
}

int main(int argc, char **argv) {
  const bool observes = argc == 4 && strcmp(argv[1], "observe") == 0;
  if (!observes && !(argc == 3 && strcmp(argv[1], "compare") == 0)) {
    (void)fprintf(stderr, "usage: engine observe IN OUT | engine compare IN\n");
    return 2;
  }
  FILE *in = fopen(argv[2], "r"), *out = observes ? fopen(argv[3], "w") : NULL;
  char *text = NULL;
  size_t room = 0;
  if (!in || (observes && !out)) {
    perror(argv[in ? 3 : 2]);
    return 2;
  }
  while (getline(&text, &room, in) > 0) {
    json_error_t e;
    json_t *c = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    if (!c) {
      (void)fprintf(stderr, "%s: %s\n", argv[2], e.text);
      return 2;
    }
    if (observes) observe(c, out);
    else compare(c);
    json_decref(c);
  }
  free(text);
  (void)fclose(in);
  return out && fclose(out) != 0 ? 2 : 0;
}
