/* lww/ipns/names_resolve.c: who waits for a name. */
#include "lww/ipns/names_state.h"
#include <string.h>

static const char *const names[] = {
#define MSUB_X(name, word, text) #word,
  MSUB_NAMES_END_MAP(MSUB_X)
#undef MSUB_X
};
static const char *const texts[] = {
#define MSUB_X(name, word, text) text,
  MSUB_NAMES_END_MAP(MSUB_X)
#undef MSUB_X
};
#define COUNT(a) (sizeof(a) / sizeof *(a))
const char *msub_names_end_name(int e) { return e >= 0 && (size_t)e < COUNT(names) ? names[e] : "unknown"; }
const char *msub_names_end_text(int e) { return e >= 0 && (size_t)e < COUNT(texts) ? texts[e] : "unknown"; }

static void resolve_free(msub_names *n, msub__names_resolve *r) {
  msub__list_remove(&r->in_sub);
  msub__list_remove(&r->in_all);
  n->count.resolving--;
  msub__free(&n->mem, r, sizeof *r);
}

int msub_names_resolve(msub_names *n, msub_bytes name, uint64_t deadline, const msub_now *now, msub_names_resolve_done done, void *ud, msub_names_view *known,
                       msub_token *token) {
  msub_names_view view;
  uint32_t i = msub__names_find(n, name);
  if (!known) known = &view;
  if (i != MSUB__NONE && msub__names_view(n, i, now->wall_ns, known) && !known->expired) {
    msub__names_use(n, i, now);
    n->count.resolved++;
    return MSUB_OK;
  }
  if (n->count.resolving >= n->o.max_resolving) return MSUB_ERR_LIMIT;
  bool is_new = i == MSUB__NONE;
  int rc = is_new ? msub__names_add(n, name, now, &i) : MSUB_OK;
  if (rc != MSUB_OK) return rc;
  msub__names_resolve *r = msub__zalloc(&n->mem, 1, sizeof *r);
  bool was_joined = n->names[i].sub != MSUB__NONE;
  rc = r ? msub__sub_open(n, i, now) : MSUB_ERR_NOMEM;
  if (rc != MSUB_OK) {
    msub__free(&n->mem, r, sizeof *r);
    if (is_new) msub__names_drop(n, i, now);
    return rc;
  }
  msub__sub *s = n->subs[n->names[i].sub];
  r->token = msub__names_token(n);
  r->deadline = deadline;
  r->asked = was_joined ? s->asked : 0;
  r->name = i;
  r->done = done;
  r->ud = ud;
  msub__list_init(&r->in_sub);
  msub__list_init(&r->in_all);
  msub__list_push(&s->resolves, &r->in_sub);
  msub__list_push(&n->resolves, &r->in_all);
  n->count.resolving++;
  msub__names_use(n, i, now);
  if (was_joined) msub__sub_ask(s); /* what they did not have then they may have now */
  n->resolves_at = msub__sooner(n->resolves_at, deadline);
  msub__names_soon(n, n->resolves_at);
  if (token) token->v = r->token;
  return MSUB_MORE;
}

void msub_names_cancel(msub_names *n, msub_token token) {
  for (msub__node *x = n->resolves.next; x != &n->resolves; x = x->next) {
    msub__names_resolve *r = MSUB__OF(x, msub__names_resolve, in_all);
    if (r->token != token.v) continue;
    resolve_free(n, r);
    return;
  }
}

static void tell(msub_names *n, msub__names_resolve *r, const msub_names_resolved *what) {
  msub_names_resolve_done done = r->done;
  void *ud = r->ud;
  if (what->end == MSUB_NAMES_END_FOUND) n->count.resolved++;
  else n->count.unresolved++;
  resolve_free(n, r);
  if (done) done(ud, what);
}

void msub__resolves_invalid(msub__sub *s, msub_ipns_fault fault) {
  for (msub__node *x = s->resolves.next; x != &s->resolves; x = x->next) {
    msub__names_resolve *r = MSUB__OF(x, msub__names_resolve, in_sub);
    r->invalid = true;
    r->fault = fault;
  }
}

/* Each is told; the callbacks may begin new ones, or cancel others. */
void msub__resolves_wake(msub_names *n, uint32_t name, int64_t wall_ns) {
  uint32_t gen = n->names[name].gen;
  while (msub__name_is(n, name, gen) && n->names[name].sub != MSUB__NONE) {
    msub__sub *s = n->subs[n->names[name].sub];
    msub_names_view v;
    msub__node *x = msub__list_first(&s->resolves);
    if (!x || !msub__names_view(n, name, wall_ns, &v) || v.expired) return;
    msub__names_resolve *r = MSUB__OF(x, msub__names_resolve, in_sub);
    tell(n, r, &(msub_names_resolved){ .end = MSUB_NAMES_END_FOUND, .v = &v, .asked = (unsigned)(s->asked - r->asked) });
  }
}

static void give_up(msub_names *n, msub__names_resolve *r, const msub_now *now) {
  const msub__sub *s = n->subs[n->names[r->name].sub];
  msub_names_view v;
  msub_names_resolved what = { .asked = (unsigned)(s->asked - r->asked) };
  bool there = msub__names_view(n, r->name, now->wall_ns, &v);
  if (there) {
    what.end = v.expired ? MSUB_NAMES_END_EXPIRED : MSUB_NAMES_END_FOUND;
    what.v = &v;
  } else if (r->invalid) {
    what.end = MSUB_NAMES_END_INVALID;
    what.fault = r->fault;
  } else {
    what.end = what.asked ? MSUB_NAMES_END_NOTHING : MSUB_NAMES_END_NOBODY;
  }
  tell(n, r, &what);
}

void msub__resolves_turn(msub_names *n, const msub_now *now) {
  while (msub__passed(n->resolves_at, now->mono_ns)) {
    msub__names_resolve *due = NULL;
    n->resolves_at = MSUB_NEVER;
    for (msub__node *x = n->resolves.next; x != &n->resolves; x = x->next) {
      msub__names_resolve *r = MSUB__OF(x, msub__names_resolve, in_all);
      if (!due && msub__passed(r->deadline, now->mono_ns)) due = r;
      else n->resolves_at = msub__sooner(n->resolves_at, r->deadline);
    }
    if (due) give_up(n, due, now);
  }
  msub__names_soon(n, n->resolves_at);
}

void msub__resolves_fini(msub_names *n) {
  for (msub__node *x; (x = msub__list_first(&n->resolves));) resolve_free(n, MSUB__OF(x, msub__names_resolve, in_all));
}
