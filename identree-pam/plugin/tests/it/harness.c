/* Calls the plugin as sudo does (sudo_plugin(5)), many times in one process, and says what it left behind.
 * usage: harness PLUGIN CALLS OPTION... < lists
 * Standard input holds four lists, each entry ended by NUL and each list by an empty entry: user_info, command_info, argv, envp. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*conversation)(int, const void *, void *, void *);
struct message { int kind; int timeout; const char *text; };
struct approval_plugin {
    unsigned int type, version;
    int (*open)(unsigned int, conversation, void *, char **, char **, int, char **, char **, char **, const char **);
    void (*close)(void);
    int (*check)(char **, char **, char **, const char **);
    int (*show_version)(int);
};

static int verbose;

static int converse(int count, const void *messages, void *replies, void *callback) {
    (void)replies, (void)callback;
    for (int at = 0; at < count; at++)
        if (verbose) fputs(((const struct message *)messages)[at].text, stderr);
    return 0;
}

static char **list(void) {
    char **entries = calloc(1, sizeof *entries), *entry = NULL;
    size_t room = 0, count = 0;
    while (getdelim(&entry, &room, 0, stdin) > 0 && *entry) {
        entries = realloc(entries, (count + 2) * sizeof *entries);
        entries[count++] = strdup(entry);
        entries[count] = NULL;
    }
    free(entry);
    return entries;
}

static int entries(const char *path) {
    int count = 0;
    DIR *dir = opendir(path);
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

static long resident(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (fscanf(file, "%*d %ld", &pages) != 1) abort();
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

int main(int argc, char **argv) {
    static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD};
    struct sigaction before[6], after;
    sigset_t mask_before, mask_after;
    char *settings[] = {"progname=sudo", NULL}, *nothing[] = {NULL};
    static char **user_info, **command_info, **run_argv, **run_envp;
    user_info = list(), command_info = list(), run_argv = list(), run_envp = list();
    long start = resident(), loaded = 0, first = 0;
    void *object = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (argc < 3 || !object) return fprintf(stderr, "%s\n", dlerror()), 3;
    struct approval_plugin *plugin = dlsym(object, "identree_approval");
    if (!plugin || plugin->type != 4 || plugin->version >> 16 != 1) return 3;
    int calls = atoi(argv[2]), accepted = 0, denied = 0, failed = 0, descriptors = 0, dispositions = 0;
    verbose = calls <= 2;
    for (int at = 0; at < 6; at++) sigaction(watched[at], NULL, &before[at]);
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    for (int call = 0; call < calls; call++) {
        const char *why = NULL;
        if (plugin->open(1 << 16 | 21, converse, NULL, settings, user_info, 1, nothing, nothing, argv + 3, &why) != 1)
            return fprintf(stderr, "open: %s\n", why), 4;
        int answer = plugin->check(command_info, run_argv, run_envp, &why);
        accepted += answer == 1, denied += answer == 0, failed += answer == -1;
        if (verbose && answer != 1) fprintf(stderr, "check: %s\n", why);
        plugin->close();
        if (!call) loaded = resident() - start;
        /* Once warm. */
        if (call == 20 || calls <= 20) descriptors = entries("/proc/self/fd"), first = resident();
    }
    sigprocmask(SIG_BLOCK, NULL, &mask_after);
    for (int at = 0; at < 6; at++) {
        sigaction(watched[at], NULL, &after);
        dispositions += after.sa_handler != before[at].sa_handler;
    }
    printf("accepted %d denied %d failed %d descriptors %d threads %d mask %d dispositions %d loaded %ld KiB grown %ld KiB\n", accepted, denied,
        failed, entries("/proc/self/fd") - descriptors, entries("/proc/self/task") - 2, memcmp(&mask_before, &mask_after, 8) != 0,
        dispositions, loaded, resident() - first);
    return 0;
}
