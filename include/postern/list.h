/* list: a ring of links inside the structs they join.
 *
 * A list is a head that points to itself when empty. The owner of a struct
 * takes it off its list before it frees it. */
#ifndef POSTERN_LIST_H
#define POSTERN_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define LIST_ITEM(link, type, member) \
	((type *)(void *)((char *)(link)-offsetof(type, member)))
/* Walks the links; the current one may be taken off and freed. */
#define LIST_EACH(link, head) \
	for (struct list *link = (head)->next, *link##_next = link->next; \
			link != (head); link = link##_next, link##_next = link->next)

static inline void
list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

/* Puts link at the end. */
static inline void
list_add(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* Takes link off whatever list it is on; harmless when it is on none. */
static inline void
list_del(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#endif
