#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "host/addrs.h"
#include "host/filter.h"

/* Takes a word and the blanks behind it off the text. */
static size_t word(const char **text) {
  size_t n = strcspn(*text, " ");
  *text += n + strspn(*text + n, " ");
  return n;
}
static bool is(const char *p, size_t n, const char *what) { return strlen(what) == n && memcmp(p, what, n) == 0; }

static const char *parse_range(const char *text, msub__ipfilter_rule *r) {
  char ip[INET6_ADDRSTRLEN];
  const char *slash = strchr(text, '/');
  size_t n = slash ? (size_t)(slash - text) : strlen(text);
  if (n >= sizeof ip) return "not an IP address";
  memcpy(ip, text, n);
  ip[n] = 0;
  r->n = inet_pton(AF_INET, ip, r->ip) == 1 ? 4 : inet_pton(AF_INET6, ip, r->ip) == 1 ? 16 : 0;
  if (r->n == 0) return "not an IP address";
  r->bits = (uint8_t)(r->n * 8);
  if (!slash) return NULL;
  char *end;
  unsigned long bits = strtoul(slash + 1, &end, 10);
  if (slash[1] < '0' || slash[1] > '9' || *end || bits > r->bits) return "no number of bits behind the slash";
  r->bits = (uint8_t)bits;
  for (unsigned i = (unsigned)bits; i < r->n * 8u; i++) {
    if (r->ip[i / 8] & 0x80 >> i % 8) return "bits of the address are set behind its prefix";
  }
  return NULL;
}

static const char *parse(const char *text, msub__ipfilter_rule *r) {
  const char *at = text;
  size_t n = word(&at);
  *r = (msub__ipfilter_rule){ .what = MSUB__FILTER_DIAL | MSUB__FILTER_ACCEPT, .allow = is(text, n, "allow") };
  if (!r->allow && !is(text, n, "deny")) return "a rule begins with allow or deny";
  const char *second = at;
  n = word(&at);
  if (is(second, n, "dial")) r->what = MSUB__FILTER_DIAL;
  else if (is(second, n, "accept")) r->what = MSUB__FILTER_ACCEPT;
  else at = second;
  return parse_range(at, r);
}

int msub_host_filter(msub_host *h, const char *const *rules, size_t n, size_t *bad, const char **why) {
  const char *text;
  size_t at;
  if (!why) why = &text;
  if (!bad) bad = &at;
  *bad = 0;
  *why = "at most 256 rules";
  if (n > MSUB__HOST_FILTER_RULES) return MSUB_ERR_LIMIT;
  *why = "out of memory";
  msub__ipfilter_rule *made = n ? msub__zalloc(&h->mem, n, sizeof *made) : NULL;
  if (n && !made) return MSUB_ERR_NOMEM;
  for (*bad = 0; *bad < n; ++*bad) {
    if (!(*why = parse(rules[*bad], &made[*bad]))) continue;
    msub__free(&h->mem, made, n * sizeof *made);
    return MSUB_ERR_INVAL;
  }
  msub__ipfilter_fini(h);
  h->filter = (msub__ipfilter){ made, n };
  *why = NULL;
  return MSUB_OK;
}

bool msub__ipfilter_allows(msub_host *h, const msub__tr_addr *at, unsigned what) {
  msub_bytes ip = msub__ip(at);
  for (size_t i = 0; i < h->filter.n; i++) {
    const msub__ipfilter_rule *r = &h->filter.rules[i];
    if (!(r->what & what) || !msub__ip_same(ip, (msub_bytes){ r->ip, r->n }, r->bits)) continue;
    if (r->allow) return true;
    if (what == MSUB__FILTER_DIAL) h->counts.dials_filtered++;
    else h->counts.accepts_filtered++;
    return false;
  }
  return true;
}

void msub__ipfilter_fini(msub_host *h) {
  msub__free(&h->mem, h->filter.rules, h->filter.n * sizeof *h->filter.rules);
  h->filter = (msub__ipfilter){ NULL, 0 };
}
