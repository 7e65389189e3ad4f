// Package events is the feed of what happens in the process: decisions, camera
// and sync state, as they happen, to whoever listens (the event stream of the
// API, webhooks, a screen).
//
//	feed := events.NewFeed[Notice]()
//	sub := feed.Subscribe(64, func(n Notice) bool { return n.Merchant == mine })
//	defer sub.Close()
//	n, lost, err := sub.Next(ctx)
//
// Publishing never waits: a subscriber that does not keep up loses the oldest
// notices of its own buffer and is told how many. The feed keeps nothing and
// proves nothing; what must not be lost is an event of the store.
package events

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed ends a subscription: it or the feed was closed.
var ErrClosed = errors.New("event feed closed")

// Feed hands what is published to all subscribers. Make one with NewFeed. It
// is safe for concurrent use.
type Feed[T any] struct {
	mu     sync.Mutex // protects the fields below
	subs   map[*Subscription[T]]struct{}
	closed bool
}

// NewFeed makes a feed without subscribers.
func NewFeed[T any]() *Feed[T] {
	return &Feed[T]{subs: map[*Subscription[T]]struct{}{}}
}

// Publish hands v to every subscriber whose filter wants it. It does not wait
// for any of them; filters run inside and must be quick.
func (f *Feed[T]) Publish(v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		if s.want == nil || s.want(v) {
			s.put(v)
		}
	}
}

// Subscribe listens from now on, with room for buffer values (at least one)
// that were not fetched yet. want chooses the values; nil wants all.
func (f *Feed[T]) Subscribe(buffer int, want func(T) bool) *Subscription[T] {
	s := &Subscription[T]{feed: f, want: want, ring: make([]T, max(buffer, 1)), ready: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		s.end()
		return s
	}
	f.subs[s] = struct{}{}
	return s
}

// Subscribers says how many listen.
func (f *Feed[T]) Subscribers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.subs)
}

// Close ends all subscriptions after what they have buffered. What is
// published later goes nowhere.
func (f *Feed[T]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for s := range f.subs {
		s.end()
	}
	clear(f.subs)
}

// Subscription is one listener. One goroutine calls Next.
type Subscription[T any] struct {
	feed  *Feed[T]
	want  func(T) bool
	ready chan struct{} // holds a token when there is something to fetch

	mu     sync.Mutex // protects the fields below; taken after feed.mu
	ring   []T
	first  int // index of the oldest value in ring
	n      int // values in ring
	lost   uint64
	closed bool
}

// Next waits for a value. lost counts those that were dropped before it
// because the buffer was full. The error is ctx's or ErrClosed.
func (s *Subscription[T]) Next(ctx context.Context) (v T, lost uint64, err error) {
	for {
		v, lost, ok, closed := s.take()
		if ok {
			return v, lost, nil
		}
		if closed {
			return v, 0, ErrClosed
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return v, 0, ctx.Err()
		}
	}
}

// Close stops listening and makes Next return ErrClosed. It may be called again.
func (s *Subscription[T]) Close() {
	s.feed.mu.Lock()
	delete(s.feed.subs, s)
	s.feed.mu.Unlock()
	s.end()
}

func (s *Subscription[T]) put(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == len(s.ring) {
		s.first = (s.first + 1) % len(s.ring)
		s.n--
		s.lost++
	}
	s.ring[(s.first+s.n)%len(s.ring)] = v
	s.n++
	s.wake()
}

func (s *Subscription[T]) take() (v T, lost uint64, ok, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == 0 {
		return v, 0, false, s.closed
	}
	var zero T
	v, s.ring[s.first] = s.ring[s.first], zero // let go of what the value holds
	s.first = (s.first + 1) % len(s.ring)
	s.n--
	lost, s.lost = s.lost, 0
	return v, lost, true, false
}

func (s *Subscription[T]) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

// wake leaves a token for Next, unless one lies there.
func (s *Subscription[T]) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
