/* A sink that does the least there is to do: epoll, one buffer a session, each message written to a
 * file and renamed before 250 is said. No limits, no record, no care: the practical limit of one core.
 *
 * Usage: epoll DIR PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST = 512 };

struct session {
    int fd;
    int data;           /* the message is coming in */
    size_t used, room;  /* of buffer */
    size_t seen;        /* searched for the end of the message so far */
    char *buffer;
};

static int directory;
static unsigned long stored;

static void say(struct session *s, const char *reply) {
    if (send(s->fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
        return; /* the read that follows tells */
}

static int store(const char *message, size_t size) {
    char temporary[32], name[32];
    snprintf(temporary, sizeof temporary, "%lu.tmp", stored);
    snprintf(name, sizeof name, "%lu", stored++);
    int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return -1;
    while (size) {
        ssize_t n = write(fd, message, size);
        if (n < 0) {
            close(fd);
            return -1;
        }
        message += n;
        size -= (size_t)n;
    }
    close(fd);
    return renameat(directory, temporary, directory, name);
}

/* Takes what is whole from the front of the buffer; -1: the session is over. */
static int take(struct session *s) {
    size_t at = 0;
    int over = 0;
    while (!over && at < s->used) {
        char *here = s->buffer + at;
        size_t left = s->used - at;
        if (s->data) {
            char *end = left >= 3 && !memcmp(here, ".\r\n", 3)
                ? here - 2
                : memmem(here + s->seen, left - s->seen, "\r\n.\r\n", 5);
            if (!end) {
                s->seen = left > 4 ? left - 4 : 0;
                break;
            }
            say(s, store(here, (size_t)(end + 2 - here)) ? "452 no room\r\n" : "250 stored\r\n");
            at = (size_t)(end + 5 - s->buffer);
            s->data = 0;
            s->seen = 0;
            continue;
        }
        char *end = memchr(here, '\n', left);
        if (!end)
            break;
        at = (size_t)(end + 1 - s->buffer);
        if (!strncasecmp(here, "DATA", 4)) {
            s->data = 1;
            say(s, "354 go on\r\n");
        } else if (!strncasecmp(here, "QUIT", 4)) {
            say(s, "221 bye\r\n");
            over = 1;
        } else {
            say(s, "250 ok\r\n");
        }
    }
    memmove(s->buffer, s->buffer + at, s->used - at);
    s->used -= at;
    if (!s->used && s->room > FIRST) { /* a held session keeps little */
        free(s->buffer);
        s->room = FIRST;
        if (!(s->buffer = malloc(s->room)))
            return -1;
    }
    return over ? -1 : 0;
}

static int hear(struct session *s) {
    if (s->data && s->room < 65536) {
        char *larger = realloc(s->buffer, 65536);
        if (!larger)
            return -1;
        s->buffer = larger;
        s->room = 65536;
    } else if (s->used == s->room) {
        char *larger = s->room < (64 << 20) ? realloc(s->buffer, s->room * 2) : NULL;
        if (!larger)
            return -1;
        s->buffer = larger;
        s->room *= 2;
    }
    ssize_t n = read(s->fd, s->buffer + s->used, s->room - s->used);
    if (n <= 0)
        return -1;
    s->used += (size_t)n;
    return take(s);
}

int main(int argc, char **argv) {
    if (argc != 3 || (directory = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0)
        return 64;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int on = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), watch = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(door, (struct sockaddr *)&address, sizeof address) || listen(door, 4096))
        return 69;
    struct epoll_event events[256], wanted = {.events = EPOLLIN};
    epoll_ctl(watch, EPOLL_CTL_ADD, door, &wanted);
    for (;;) {
        int count = epoll_wait(watch, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct session *s = events[i].data.ptr;
            if (s) {
                if (hear(s)) {
                    close(s->fd);
                    free(s->buffer);
                    free(s);
                }
                continue;
            }
            int fd;
            while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                s = calloc(1, sizeof *s);
                if (!s || !(s->buffer = malloc(FIRST)))
                    return 71;
                s->fd = fd;
                s->room = FIRST;
                wanted.data.ptr = s;
                epoll_ctl(watch, EPOLL_CTL_ADD, fd, &wanted);
                say(s, "220 mx\r\n");
            }
        }
    }
}
