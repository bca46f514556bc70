/* tests/support/store_suite.h: what every implementation of msub_store promises (store.h), as cases that run on any of them. */
#ifndef MSUB_TESTS_STORE_SUITE_H
#define MSUB_TESTS_STORE_SUITE_H
#include "meshsub/store.h"

typedef struct store_kit {
  /* Makes an empty store; what is durable of it becomes a new store in its place, as after a power cut; frees it. */
  void (*open)(struct store_kit *k);
  void (*crash)(struct store_kit *k);
  void (*close)(struct store_kit *k);
  /* A turn, after the time has passed that something needs to become durable. */
  void (*turn)(struct store_kit *k);
  msub_store store;
  void *own;
  /* The suite's: what on_durable told, in order. */
  struct { uint64_t token; int result; } told[4096];
  size_t n_told;
} store_kit;

typedef struct store_case {
  const char *name;
  void (*run)(store_kit *k); /* between open and close; aborts when a promise is broken */
} store_case;
extern const store_case store_suite[];
extern const size_t store_suite_n;

/* Opens, runs one case, closes. */
void store_suite_run(store_kit *k, const store_case *c);

/* For tests of one implementation. */
#define STORE_CHECK(cond) ((cond) ? (void)0 : store_broken(#cond, __FILE__, __LINE__))
_Noreturn void store_broken(const char *what, const char *file, int line);
void store_put(store_kit *k, const char *key, const char *value, uint64_t token); /* value NULL: the key goes */
bool store_is(store_kit *k, const char *key, const char *value);                  /* value NULL: not there */
void store_settle(store_kit *k, size_t n_told);                                   /* turns until so many were told */
const char *store_keys(store_kit *k, const char *prefix);                         /* "a=1 b=2"; static */
#endif
