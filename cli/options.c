#include "cli/options.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void list_add(text_list *l, const char *text) {
  l->v = grow(l->v, l->n + 1, sizeof *l->v);
  l->v[l->n++] = text;
}

/* ---- where values come from ---- */

#define ORIGIN_VALUE 200

typedef struct origin {
  const char *option, *key; /* static */
  char value[ORIGIN_VALUE]; /* as quoted() shows it */
  unsigned line;
  bool list;
} origin;
static struct {
  const char *file;
  origin *v;
  size_t n;
} origins;

void origins_begin(const char *file) {
  free(origins.v);
  origins.v = NULL;
  origins.n = 0;
  origins.file = file;
}

void origin_add(const option_row *r, const char *key, const char *value, unsigned line) {
  origins.v = grow(origins.v, origins.n + 1, sizeof *origins.v);
  origin *o = &origins.v[origins.n++];
  *o = (origin){ .option = r->name, .key = key, .line = line, .list = r->kind == OPT_LIST };
  snprintf(o->value, sizeof o->value, "%s", quoted(value));
}

static void origin_drop(const option_row *r) {
  if (r->kind == OPT_LIST) return; /* one more, beside the file's */
  for (size_t i = origins.n; i-- > 0;)
    if (strcmp(origins.v[i].option, r->name) == 0) origins.v[i] = origins.v[--origins.n];
}

/* The option as a word of its own. */
static const char *word_in(const char *text, const char *option) {
  size_t n = strlen(option);
  for (const char *at = text; (at = strstr(at, option)) != NULL; at += n)
    if (!strchr("abcdefghijklmnopqrstuvwxyz-", at[n]) || !at[n]) return at;
  return NULL;
}

/* What the text speaks of: the value of the option that it names first; or a value alone. NULL: nothing of the file. */
static const origin *origin_of(const char *text) {
  const origin *alone = NULL, *first = NULL;
  const char *at = NULL;
  for (size_t i = 0; i < origins.n; i++) {
    const origin *o = &origins.v[i];
    const char *named = word_in(text, o->option);
    bool shown = strstr(text, o->value) != NULL;
    if (named && (shown || !o->list) && (!first || named < at)) {
      first = o;
      at = named;
    }
    if (shown && strcmp(o->value, "\"\"") != 0 && !alone) alone = o;
  }
  return first ? first : alone;
}

/* The text with keys in place of the file's options. */
static void put_with_keys(FILE *to, const char *text, const origin *named) {
  while (*text) {
    const char *first = NULL;
    const origin *of = NULL;
    for (size_t i = 0; i < origins.n; i++) {
      const char *at = word_in(text, origins.v[i].option);
      if (at && (!first || at < first)) {
        first = at;
        of = &origins.v[i];
      }
    }
    if (!first) break;
    if (strcmp(of->option, named->option) == 0) of = named; /* several keys may set one option */
    fprintf(to, "%.*s%s", (int)(first - text), text, of->key);
    text = first + strlen(of->option);
  }
  fputs(text, to);
}

int usage_error(const command *c, const char *format, ...) {
  char text[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const origin *of = origins.file ? origin_of(text) : NULL;
  FILE *to = error_begin();
  fprintf(to, "%s: ", c->program);
  if (of) {
    fprintf(to, "%s, line %u: ", quoted(origins.file), of->line);
    put_with_keys(to, text, of);
    fputc('\n', to);
  } else {
    fprintf(to, "%s\nusage: %s %s\nRun \"%s --help\" for the options.\n", text, c->program, c->usage, c->program);
  }
  error_end();
  return of ? EXIT_FAILED : EXIT_USAGE;
}

/* ---- values ---- */

bool read_number(const char *text, uint64_t *value) {
  if (!*text || text[strspn(text, "0123456789")]) return false;
  errno = 0;
  *value = strtoull(text, NULL, 10);
  return errno == 0;
}

bool read_duration(const char *text, uint64_t *ns) {
  static const struct {
    const char *name;
    double ns;
  } units[] = { { "ms", 1e6 }, { "us", 1e3 }, { "ns", 1 }, { "h", 3.6e12 }, { "m", 6e10 }, { "s", 1e9 } };
  double total = 0, below = 1e18;
  if (!*text) return false;
  while (*text) {
    size_t digits = strspn(text, "0123456789"), all = digits;
    if (text[digits] == '.') all += 1 + strspn(text + digits + 1, "0123456789");
    if (digits == 0 || all > 18) return false;
    double v = strtod(text, NULL);
    text += all;
    size_t u = 0, n = sizeof units / sizeof *units;
    while (u < n && strncmp(text, units[u].name, strlen(units[u].name)) != 0) u++;
    /* "1h30m", but not "30m1h" and not "1s1s" */
    if (u == n || units[u].ns >= below) return false;
    below = units[u].ns;
    text += strlen(units[u].name);
    total += v * units[u].ns;
  }
  if (total > 9e18) return false;
  *ns = (uint64_t)(total + 0.5);
  return true;
}

/* ---- suggestions ---- */

#define WORD_MAX 48

/* Levenshtein distance of two words of less than WORD_MAX chars. */
static size_t distance(const char *a, const char *b) {
  size_t row[WORD_MAX + 1], na = strlen(a), nb = strlen(b);
  for (size_t j = 0; j <= nb; j++) row[j] = j;
  for (size_t i = 1; i <= na; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      size_t best = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      row[j] = best;
    }
  }
  return row[nb];
}

const char *nearest(const char *text, const char *(*next)(const void *ud, size_t i), const void *ud) {
  const char *best = NULL, *word;
  size_t len = strlen(text), least = len / 3 + 2 < 8 ? len / 3 + 2 : 8;
  if (len >= WORD_MAX) return NULL;
  for (size_t i = 0; (word = next(ud, i)); i++) {
    if (strlen(word) >= WORD_MAX) continue;
    size_t d = distance(text, word);
    if (d < least) {
      least = d;
      best = word;
    }
  }
  return best;
}

static const char *row_name(const void *rows, size_t i) { return ((const option_row *)rows)[i].name; }

/* ---- help ---- */

static void option_left(const option_row *r, char *left, size_t cap) {
  snprintf(left, cap, "%s%s%s%s%s", r->name, r->letter ? (char[]){ ',', ' ', '-', r->letter, 0 } : "",
           r->kind == OPT_MAYBE ? "[=" : r->value ? " " : "", r->value ? r->value : "", r->kind == OPT_MAYBE ? "]" : "");
}

static void print_row(const option_row *r) {
  char left[64];
  option_left(r, left, sizeof left);
  printf("  %-22s", left);
  if (strlen(left) > 21) printf("\n  %-22s", "");
  for (const char *p = r->help; *p; p++) {
    if (*p == '\n')
      printf("\n  %-22s", "");
    else
      putchar(*p);
  }
  putchar('\n');
}

static int print_help(const command *c, const option_row *rows) {
  printf("usage: %s %s\n\n%s\n\nOptions:\n", c->program, c->usage, c->about);
  for (const option_row *r = rows; r->name; r++) print_row(r);
  printf("  %-22s%s\n", "--help, -h", "Print this text.");
  if (c->after) printf("\n%s\n", c->after);
  return flush_out(c->program, stdout) ? EXIT_OK : EXIT_FAILED;
}

/* ---- manual pages ---- */

/* One line of text at most; a dot or a quote at its beginning is no request. */
static void man_words(const char *text, size_t n) {
  if (n && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == '\\') fputs("\\e", stdout);
    else if (c == '-') fputs("\\-", stdout);
    else if (c == 0xe2 && i + 2 < n && (unsigned char)text[i + 1] == 0x80 && (unsigned char)text[i + 2] == 0xa6) {
      fputs("\\&...", stdout); /* … */
      i += 2;
    } else putchar(c);
  }
}

void man_begin(const char *program, const char *name_line) {
  char name[64];
  size_t n = 0;
  for (; program[n] && n + 1 < sizeof name; n++) name[n] = program[n] == ' ' ? '-' : program[n];
  name[n] = 0;
  fputs(".TH \"", stdout);
  for (size_t i = 0; i < n; i++) putchar(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32 : name[i]);
  puts("\" 1 \"\" \"meshsub " MSUB_VERSION "\" \"meshsub\"");
  man_section("NAME");
  man_words(name, n);
  fputs(" \\- ", stdout);
  man_words(name_line, strlen(name_line));
  putchar('\n');
}

void man_section(const char *name) { printf(".SH \"%s\"\n", name); }

void man_text(const char *text) {
  while (*text) {
    size_t n = strcspn(text, "\n");
    if (n == 0) puts(".PP");
    else {
      size_t blanks = strspn(text, " ");
      man_words(text + blanks, n - blanks);
      putchar('\n');
    }
    text += n + (text[n] == '\n');
  }
}

void man_item(const char *left, const char *text) {
  fputs(".TP\n\\fB", stdout);
  man_words(left, strlen(left));
  fputs("\\fR\n", stdout);
  man_text(text);
}

static int print_man(const command *c, const option_row *rows) {
  char line[256];
  size_t n = strcspn(c->about, ".:");
  snprintf(line, sizeof line, "%.*s", (int)n, c->about);
  for (char *p = line; *p; p++)
    if (*p == '\n') *p = ' ';
  if (line[0] >= 'A' && line[0] <= 'Z') line[0] = (char)(line[0] + 32);
  man_begin(c->program, line);
  man_section("SYNOPSIS");
  fputs("\\fB", stdout);
  man_words(c->program, strlen(c->program));
  fputs("\\fR ", stdout);
  man_words(c->usage, strlen(c->usage));
  putchar('\n');
  man_section("DESCRIPTION");
  man_text(c->about);
  if (c->after) {
    puts(".PP");
    man_text(c->after);
  }
  man_section("OPTIONS");
  for (const option_row *r = rows; r->name; r++) {
    char left[96];
    option_left(r, left, sizeof left);
    man_item(left, r->help);
  }
  man_item("--help, -h", "Print a text like this one.");
  man_section("SEE ALSO");
  puts("\\fBmeshsub\\fR(1)");
  return flush_out(c->program, stdout) ? EXIT_OK : EXIT_FAILED;
}

/* ---- the command line ---- */

int option_set(const command *c, const option_row *r, const char *text) {
  uint64_t v;
  switch (r->kind) {
  case OPT_MAYBE:
  case OPT_TEXT: *(const char **)r->to = text; break;
  case OPT_LIST: list_add(r->to, text); break;
  case OPT_NUMBER:
    if (!read_number(text, &v) || v < r->lo || v > r->hi)
      return usage_error(c, "%s %s: not a number from %" PRIu64 " to %" PRIu64, r->name, quoted(text), r->lo,
                         r->hi);
    *(uint64_t *)r->to = v;
    break;
  case OPT_DURATION:
    if (!read_duration(text, &v) || v < 1000000)
      return usage_error(c, "%s %s: not a duration; write numbers with units, at least 1ms: 5s, 200ms, 1h30m",
                         r->name, quoted(text));
    *(uint64_t *)r->to = v;
    break;
  case OPT_FLAG:
  case OPT_COUNT: break;
  }
  return -1;
}

static const option_row *find_row(const option_row *rows, const char *name, size_t n) {
  for (const option_row *r = rows; r->name; r++)
    if (strlen(r->name) == n && strncmp(r->name, name, n) == 0) return r;
  return NULL;
}

static int unknown(const command *c, const option_row *rows, const char *name) {
  const char *meant = nearest(name, row_name, rows);
  return usage_error(c, "unknown option %s%s%s%s", quoted(name), meant ? "; did you mean " : "",
                     meant ? meant : "", meant ? "?" : "");
}

/* -v, -vv, -h: letters take no value. */
static int read_letters(const command *c, const option_row *rows, const char *word) {
  for (const char *p = word + 1; *p; p++) {
    const option_row *r = rows;
    while (r->name && (r->letter != *p || r->value)) r++;
    if (*p == 'h' && !r->name) return print_help(c, rows);
    if (!r->name) return unknown(c, rows, word);
    if (r->kind == OPT_COUNT)
      ++*(unsigned *)r->to;
    else
      *(bool *)r->to = true;
  }
  return -1;
}

static int read_long(const command *c, const option_row *rows, const char *word, const char *following,
                     int *used) {
  const char *equals = strchr(word, '=');
  size_t n = equals ? (size_t)(equals - word) : strlen(word);
  if (n == 6 && strncmp(word, "--help", 6) == 0) return print_help(c, rows);
  if (n == 5 && strncmp(word, "--man", 5) == 0) return print_man(c, rows);
  const option_row *r = find_row(rows, word, n);
  if (!r) {
    char *name = take(n + 1);
    memcpy(name, word, n);
    int code = unknown(c, rows, name);
    free(name);
    return code;
  }
  if (r->given) *r->given = true;
  origin_drop(r);
  if (!r->value) {
    if (equals) return usage_error(c, "%s takes no value, but got %s", r->name, quoted(equals + 1));
    if (r->kind == OPT_COUNT)
      ++*(unsigned *)r->to;
    else
      *(bool *)r->to = true;
    return -1;
  }
  if (r->kind == OPT_MAYBE && !equals) return -1;
  const char *value = equals ? equals + 1 : following;
  if (!value) return usage_error(c, "%s needs a value: %s %s", r->name, r->name, r->value);
  if (!equals) *used = 1;
  return option_set(c, r, value);
}

const option_row *option_named(const option_row *rows, const char *name) { return find_row(rows, name, strlen(name)); }

const char *option_value(const option_row *rows, int argc, char **argv, const char *name) {
  const char *found = NULL;
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i], *equals = strchr(word, '=');
    if (strcmp(word, "--") == 0) break;
    if (word[0] != '-' || word[1] != '-') continue;
    const option_row *r = find_row(rows, word, equals ? (size_t)(equals - word) : strlen(word));
    if (!r || !r->value || (r->kind == OPT_MAYBE && !equals)) continue;
    const char *value = equals ? equals + 1 : ++i < argc ? argv[i] : NULL;
    if (value && strcmp(r->name, name) == 0) found = value;
  }
  return found;
}

int options_read(const command *c, const option_row *rows, int argc, char **argv, text_list *arguments) {
  bool ended = false;
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i];
    int code = -1, used = 0;
    if (ended || word[0] != '-' || !word[1])
      list_add(arguments, word);
    else if (strcmp(word, "--") == 0)
      ended = true;
    else if (word[1] == '-')
      code = read_long(c, rows, word, i + 1 < argc ? argv[i + 1] : NULL, &used);
    else
      code = read_letters(c, rows, word);
    if (code >= 0) return code;
    i += used;
  }
  return -1;
}
