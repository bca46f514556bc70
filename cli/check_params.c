/* meshsub check-params: are the parameters of peer scores any good? */
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/profile.h"
#include <math.h>
#include <meshsub/gossipsub.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_REFUSED = 3 };

typedef struct check {
  const command *c;
  const char *name; /* of the profile */
  const msub_score_params *p;
  msub_score_finding *found;
  const msub_score_of_topic *topics;
  size_t n, refused, never;
  uint64_t heartbeat;
  bool json, strict, any;
} check;

static void note(void *ud, const msub_score_finding *f) {
  check *k = ud;
  k->found[k->n++] = *f;
  k->refused += f->refused;
  k->never += f->heartbeats == UINT64_MAX;
}

/* What a member that forwards nothing has in all. */
static double total(const check *k, const msub_score_finding *f) {
  double sum = f->here + f->others, cap = k->p->topic_score_cap;
  return !k->p->cap_what_is_positive && cap > 0 && sum > cap ? cap : sum;
}

static const char *number_text(double v) {
  static char buffers[8][40];
  static unsigned turn;
  char *out = buffers[turn++ % 8];
  if (isinf(v)) return "any number";
  snprintf(out, sizeof buffers[0], "%.6g", v);
  return out;
}

/* The first line: what is wrong, in numbers, and what would mend it. */
static void say_refused(const check *k, const msub_score_finding *f, const msub_topic_score *t) {
  double deficit = t->mesh_message_deliveries_threshold, gain = t->weight * t->time_in_mesh_cap * t->time_in_mesh_weight + f->others;
  char advice[160] = "set topic_score_cap and cap_what_is_positive, so that there is a bound";
  if (isfinite(gain))
    snprintf(advice, sizeof advice, "make mesh_message_deliveries_weight there at most %.6g%s", -ceil(gain / (t->weight * deficit * deficit) * 1e4) / 1e4,
             k->p->cap_what_is_positive ? "" : ", or set cap_what_is_positive and a low topic_score_cap");
  say_error(k->c->program,
            "%s refused: topic %s: a member that forwards nothing keeps a positive total for ever: %s there (%s x (%s - %s x %s^2)), up to %s on the other "
            "topics, %s in all; %s",
            k->name, quoted(f->topic), number_text(f->here), number_text(t->weight), number_text(t->time_in_mesh_cap * t->time_in_mesh_weight),
            number_text(-t->mesh_message_deliveries_weight), number_text(deficit), number_text(f->others), number_text(total(k, f)), advice);
}

static json_t *real_or_null(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static void print_json(const check *k, const msub_score_finding *f) {
  json_t *j = json_object();
  json_object_set_new(j, "topic", json_string(f->topic));
  json_object_set_new(j, "verdict", json_string(f->refused ? "refused" : f->heartbeats == UINT64_MAX ? "never" : "good"));
  json_object_set_new(j, "here", real_or_null(f->here));
  json_object_set_new(j, "others", real_or_null(f->others));
  json_object_set_new(j, "total", real_or_null(total(k, f)));
  json_object_set_new(j, "heartbeats", f->heartbeats == UINT64_MAX ? json_null() : json_integer((json_int_t)f->heartbeats));
  if (f->median > 0) json_object_set_new(j, "median", json_real(f->median));
  put_json(stdout, j);
}

static void print_line(const check *k, const msub_score_finding *f) {
  printf("%s: %s: a member that forwards nothing has %s here, up to %s on other topics, %s in all; ", f->refused ? "refused" : f->heartbeats == UINT64_MAX ? "warning" : "good",
         quoted(f->topic), number_text(f->here), number_text(f->others), number_text(total(k, f)));
  if (f->heartbeats == UINT64_MAX) printf("by this topic alone it is never below zero\n");
  else printf("by this topic alone it is below zero after %" PRIu64 " heartbeats\n", f->heartbeats);
  if (f->median > 0)
    printf("  that holds while the median member of the mesh has brought %s or more messages, as P3 counts them; where it is quieter, less is owed\n",
           number_text(f->median));
}

static int report(check *k) {
  for (size_t i = 0; i < k->n; i++)
    if (k->found[i].refused) {
      say_refused(k, &k->found[i], &k->topics[i].score);
      break;
    }
  for (size_t i = 0; i < k->n; i++) (k->json ? print_json : print_line)(k, &k->found[i]);
  bool refused = k->refused > 0 || (k->strict && k->never > 0);
  if (k->json) {
    json_t *j = json_object();
    json_object_set_new(j, "profile", json_string(k->name));
    json_object_set_new(j, "verdict", json_string(refused ? "refused" : "good"));
    json_object_set_new(j, "topics", json_integer((json_int_t)k->n));
    json_object_set_new(j, "refused", json_integer((json_int_t)k->refused));
    json_object_set_new(j, "never", json_integer((json_int_t)k->never));
    put_json(stdout, j);
  } else if (k->n == 0) {
    printf("good: no topic is scored; the scores are those of P5, P6 and P7\n");
  }
  if (!flush_out(k->c->program, stdout)) return EXIT_FAILED;
  if (k->never && !k->refused)
    say_error(k->c->program, "%s%s: on %zu of %zu topics a silent member is never below zero; give them mesh_message_deliveries_weight and _threshold%s", k->strict ? "" : "warning: ",
              k->name, k->never, k->n, k->strict ? ", or leave --strict out" : "");
  return refused ? EXIT_REFUSED : EXIT_OK;
}

/* The topics with names, and any other that the profile has parameters for. */
static int judge(check *k, const msub_score_of_topic *named, size_t n) {
  msub_score_of_topic *all = take((n + 1) * sizeof *all);
  if (n) memcpy(all, named, n * sizeof *all);
  k->any = k->p->topic != NULL;
  if (k->any) all[n++] = (msub_score_of_topic){ .topic = "(any other topic)", .score = *k->p->topic };
  k->topics = all;
  k->found = take((n + 1) * sizeof *k->found);
  (void)msub_score_check(k->p, all, n, k->any, k->heartbeat, note, k);
  int code = report(k);
  free(all);
  free(k->found);
  return code;
}

static int check_file(check *k, const char *file) {
  msub_bytes text;
  profile p;
  doc_fault f = { 0 };
  char where[512];
  bool good = doc_slurp(file, &text, &f);
  if (good) {
    good = profile_read(text, &p, &f);
    free((void *)(uintptr_t)text.p);
  }
  if (!good) {
    if (f.line) say_error(k->c->program, "%s, line %u: %s", quoted(file), f.line, f.text);
    else say_error(k->c->program, "%s: %s", quoted(file), f.text);
    return EXIT_FAILED;
  }
  const char *fault = profile_fault(&p, where);
  k->p = &p.opts.params;
  int code;
  if (fault) {
    say_error(k->c->program, "%s: %s: %s; change it in the file", quoted(file), where, fault);
    code = EXIT_FAILED;
  } else {
    code = judge(k, p.topics, p.n);
  }
  profile_free(&p);
  return code;
}

int cmd_check_params(int argc, char **argv) {
  static const command c = {
    "meshsub check-params", "FILE | --default [options]",
    "Judges the parameters of peer scores in FILE (YAML or JSON; docs/cli.md has the names):\n"
    "each for itself, then all together. Refused is a profile under which a peer that forwards\n"
    "nothing on some topic keeps a positive total for ever, by what it does on others\n"
    "(CVE-2022-47547). Says for each topic after how many heartbeats such a peer is below zero.",
    "JSON: for each topic {\"topic\",\"verdict\":\"good\"|\"never\"|\"refused\",\"here\",\"others\",\"total\",\n"
    "\"heartbeats\",\"median\"}, then {\"profile\",\"verdict\",\"topics\",\"refused\",\"never\"}.\n\n"
    "Exit codes: 0 good, maybe with warnings; 1 FILE cannot be read, or a parameter is invalid;\n"
    "2 wrong usage; 3 refused."
  };
  check k = { .c = &c, .heartbeat = 1000000000 };
  bool by_default = false;
  const option_row rows[] = {
    { "--default", 0, OPT_FLAG, NULL, "Judge the profile that is on by default.", &by_default, 0, 0, NULL },
    { "--strict", 0, OPT_FLAG, NULL, "Refuse topics on which a silent peer is never below zero.", &k.strict, 0, 0, NULL },
    { "--heartbeat", 0, OPT_DURATION, "TIME", "Time between heartbeats. Default 1s.", &k.heartbeat, 0, 0, NULL },
    { "--json", 0, OPT_FLAG, NULL, "Print one JSON object a line.", &k.json, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && by_default && args.n) code = usage_error(&c, "--default goes without a FILE");
  if (code < 0 && !by_default && !args.n) code = usage_error(&c, "FILE is missing; name a profile, or say --default");
  if (code < 0 && args.n > 1) code = usage_error(&c, "one FILE only");
  if (code < 0 && by_default) {
    k.name = "the default profile";
    k.p = &msub_gossipsub_default_score.params;
    code = judge(&k, NULL, 0);
  } else if (code < 0) {
    k.name = args.v[0];
    code = check_file(&k, args.v[0]);
  }
  free(args.v);
  return code;
}
