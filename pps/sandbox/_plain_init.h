/* The init of a plain command: starts it, waits, ends all that it left, then tells; as spawner_init.py does it. */
#ifndef PPS_PLAIN_INIT_H
#define PPS_PLAIN_INIT_H

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "_plain_mounts.h"

enum { LEFT = 20 };

static const char *find(const request *asked, char *place) {
    const char *name = asked->argv[0], *path = "/bin:/usr/bin";
    struct stat found;
    if (strchr(name, '/')) return name;
    for (char **one = asked->env; *one; one++) {
        if (!strncmp(*one, "PATH=", 5)) path = *one + 5;
    }
    for (;; path++) {
        size_t length = strcspn(path, ":");
        const char *between = length && path[length - 1] != '/' ? "/" : "";
        int size = snprintf(place, PATH_MAX, "%.*s%s%s", (int)length, path, between, name);
        if (size < PATH_MAX && !stat(place, &found) && S_ISREG(found.st_mode) && !access(place, X_OK)) return place;
        path += length;
        if (!*path) return NULL;
    }
}

static void cannot_run(int fd, const char *name, const char *why) {
    static char line[2 * PATH_MAX];
    snprintf(line, sizeof line, "pps: cannot run %.*s: %s\n", PATH_MAX, name, why);
    say(fd, line);
}

/* Start it in a session of its own; `failed` is set if exec did not take it, and then it ends like a shell would say it. */
static pid_t launch(const char *program, const request *asked, const int *fds, const sigset_t *mask, volatile int *failed) {
    static const int defaults[] = {SIGPIPE, SIGXFSZ, SIGINT, SIGCHLD};
    pid_t pid = vfork();
    if (pid) return pid;
    if (!program) _exit(127);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) signal(defaults[i], SIG_DFL);
    setsid();
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (dup2(fds[0], 0) == 0 && dup2(fds[1], 1) == 1 && dup2(fds[2], 2) == 2) execve(program, asked->argv, asked->env);
    *failed = errno;
    _exit(*failed == ENOENT || *failed == ENOTDIR ? 127 : 126);
}

static pid_t start(const request *asked, const int *fds, const sigset_t *mask) {
    char place[PATH_MAX];
    volatile int failed = 0;
    if (chdir(asked->cwd)) give_up(fds[3], "the working directory cannot be entered: ", asked->cwd);
    umask(022);
    const char *program = find(asked, place);
    pid_t pid = launch(program, asked, fds, mask, &failed);
    if (pid < 0) give_up(fds[3], "", asked->argv[0]);
    if (!program) cannot_run(fds[2], asked->argv[0], "command not found");
    else if (failed) cannot_run(fds[2], program, reason(failed));
    return pid;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Return 1 and the status of `pid` if it is among what ended. */
static int reap(pid_t pid, int *ended) {
    int code, found = 0;
    for (pid_t one; (one = waitpid(-1, &code, WNOHANG)) > 0;) {
        if (one == pid) *ended = code, found = 1;
    }
    return found;
}

static int has_children(void) {
    int ignored;
    reap(0, &ignored);
    return !(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* Return the ms of grace that the executor gives; 0 when it is gone or said K. */
static int64_t order(int control) {
    char text[4097];
    int64_t least = INT64_MAX;
    ssize_t size = read(control, text, sizeof text - 1);
    if (size <= 0) return 0;
    text[size] = 0;
    for (char *line = text; *line;) {
        int64_t grace = 0;
        if (line[0] == 'T' && line[1] == ' ') {
            for (char *digit = line + 2; *digit >= '0' && *digit <= '9'; digit++) grace = grace * 10 + (*digit - '0');
        }
        if (grace < least) least = grace;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return least == INT64_MAX ? 0 : least;
}

static void drain(int fd) {
    struct signalfd_siginfo told[8];
    while (read(fd, told, sizeof told) > 0) {
    }
}

/* Return the status with which the command ended by itself, or -1: it was told to end, and time is up. */
static int supervise(pid_t pid, int control, int children) {
    struct pollfd ready[] = {{control, POLLIN, 0}, {children, POLLIN, 0}};
    int64_t kill_at = INT64_MAX;
    for (int ended;;) {
        if (reap(pid, &ended)) return ended;
        int64_t left = kill_at == INT64_MAX ? -1 : kill_at - now_ms();
        if (kill_at != INT64_MAX && left <= 0) return -1;
        if (poll(ready, 2, left > INT_MAX ? INT_MAX : (int)left) <= 0) continue;
        if (ready[1].revents) drain(children);
        if (ready[0].revents) {
            int64_t grace = order(control), at = now_ms() + grace;
            if (grace && kill_at == INT64_MAX) kill(-pid, SIGTERM);
            if (at < kill_at) kill_at = at;
        }
    }
}

static int read_at(const char *pid, char *text, size_t room) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, room - 1);
    if (fd >= 0) close(fd);
    text[size < 0 ? 0 : size] = 0;
    return size > 0;
}

/* Add the name of what a process calls itself, nothing if it has ended: "pid (name) state ...". */
static size_t add_name(const char *pid, char *to, size_t room, int *count) {
    char text[512], name[512];
    if (!read_at(pid, text, sizeof text)) return 0;
    char *begin = strchr(text, '('), *end = strrchr(text, ')');
    if (!begin || !end || end[1] != ' ' || end[2] == 'Z' || end[2] == 'X') return 0;
    *end = 0;
    quoted(name, sizeof name, begin + 1);
    return (size_t)snprintf(to, room, "%s\"%s\"", (*count)++ ? ", " : "", name);
}

/* Write the names of all processes but this one, where /proc is that of this namespace. */
static void list_left(char *to, size_t room) {
    struct entry { uint64_t inode, offset; unsigned short size; unsigned char type; char name[]; };
    _Alignas(8) char listed[4096];
    char self[16] = "";
    int count = 0;
    *to = 0;
    if (readlink("/proc/self", self, sizeof self - 1) < 0 || strcmp(self, "1")) return;
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (long size; (size = syscall(SYS_getdents64, fd, listed, sizeof listed)) > 0;) {
        for (long at = 0; at < size && count < LEFT;) {
            struct entry *one = (struct entry *)(listed + at);
            int process = one->name[0] >= '0' && one->name[0] <= '9' && strcmp(one->name, "1");
            size_t added = process ? add_name(one->name, to, room, &count) : 0;
            to += added, room -= added;
            at += one->size;
        }
    }
    if (fd >= 0) close(fd);
}

static void end_all(int children) {
    struct pollfd ready = {children, POLLIN, 0};
    while (has_children()) {
        kill(-1, SIGKILL);
        poll(&ready, 1, 50);
        drain(children);
    }
}

static _Noreturn void be_init(const request *asked, const int *fds) {
    static char left[LEFT * 512], line[LEFT * 512 + 64];
    sigset_t child, before;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    signal(SIGCHLD, SIG_DFL);
    int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0) give_up(fds[3], "signalfd: ", "");
    mount_all(fds[3], asked);
    say(fds[3], "{\"begun\": true}\n");
    pid_t pid = start(asked, fds, &before);
    int ended = supervise(pid, fds[4], children);
    if (ended >= 0 && WIFEXITED(ended) && has_children()) list_left(left, sizeof left);
    end_all(children);
    if (ended >= 0 && WIFEXITED(ended)) {
        snprintf(line, sizeof line, "{\"code\": %d, \"left\": [%s]}\n", WEXITSTATUS(ended), left);
    } else {
        snprintf(line, sizeof line, "{\"signal\": %d}\n", ended < 0 ? SIGKILL : WTERMSIG(ended));
    }
    say(fds[3], line);
    _exit(0);
}

#endif
