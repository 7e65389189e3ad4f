package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cypherface/edge/internal/events"
)

// drain fetches what is there and returns the values and the losses.
func drain(t *testing.T, s *events.Subscription[int]) (values []int, lost uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for {
		v, n, err := s.Next(ctx)
		if err != nil {
			return values, lost
		}
		values, lost = append(values, v), lost+n
	}
}

func TestSubscribersHearWhatTheyWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := events.NewFeed[int]()
		feed.Publish(0) // to nobody
		every := feed.Subscribe(10, nil)
		even := feed.Subscribe(10, func(n int) bool { return n%2 == 0 })
		for n := 1; n <= 5; n++ {
			feed.Publish(n)
		}
		if got, lost := drain(t, every); !slices.Equal(got, []int{1, 2, 3, 4, 5}) || lost != 0 {
			t.Errorf("heard %v, lost %d", got, lost)
		}
		if got, _ := drain(t, even); !slices.Equal(got, []int{2, 4}) {
			t.Errorf("heard %v, wanted the even ones", got)
		}
	})
}

func TestSlowSubscriberLosesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := events.NewFeed[int]()
		slow, none := feed.Subscribe(3, nil), feed.Subscribe(0, nil)
		for n := range 10 {
			feed.Publish(n)
		}
		v, lost, err := slow.Next(t.Context())
		if v != 7 || lost != 7 || err != nil {
			t.Errorf("first is %d after %d lost, %v; want 7 after 7", v, lost, err)
		}
		feed.Publish(10)
		feed.Publish(11)
		if got, lost := drain(t, slow); !slices.Equal(got, []int{9, 10, 11}) || lost != 1 {
			t.Errorf("then %v after %d lost", got, lost)
		}
		if got, lost := drain(t, none); !slices.Equal(got, []int{11}) || lost != 11 {
			t.Errorf("without a buffer: %v after %d lost, want the last", got, lost)
		}
	})
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := events.NewFeed[int]()
		s := feed.Subscribe(1, nil)
		time.AfterFunc(time.Hour, func() { feed.Publish(7) })
		begin := time.Now()
		if v, _, err := s.Next(t.Context()); v != 7 || err != nil || time.Since(begin) != time.Hour {
			t.Errorf("%d, %v after %v", v, err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestCloseEndsSubscriptionsAfterTheirBuffer(t *testing.T) {
	for name, closing := range map[string]func(*events.Feed[int], *events.Subscription[int]){
		"feed":         func(f *events.Feed[int], _ *events.Subscription[int]) { f.Close() },
		"subscription": func(_ *events.Feed[int], s *events.Subscription[int]) { s.Close(); s.Close() },
	} {
		feed := events.NewFeed[int]()
		s := feed.Subscribe(4, nil)
		feed.Publish(1)
		closing(feed, s)
		feed.Publish(2)
		if v, _, err := s.Next(t.Context()); v != 1 || err != nil {
			t.Errorf("%s: %d, %v; want what was buffered", name, v, err)
		}
		for range 2 {
			if _, _, err := s.Next(t.Context()); !errors.Is(err, events.ErrClosed) {
				t.Errorf("%s: got %v, want ErrClosed", name, err)
			}
		}
		if n := feed.Subscribers(); n != 0 {
			t.Errorf("%s: %d subscribers are left", name, n)
		}
	}
	closed := events.NewFeed[int]()
	closed.Close()
	if _, _, err := closed.Subscribe(1, nil).Next(t.Context()); !errors.Is(err, events.ErrClosed) {
		t.Errorf("subscribed to a closed feed: %v", err)
	}
}

// However they come and go, every subscriber gets what it was sent in order or
// is told that it was not.
func TestFeedUnderLoad(t *testing.T) {
	feed := events.NewFeed[int]()
	const sent = 2000
	var wg sync.WaitGroup
	for i := range 8 {
		s := feed.Subscribe(1+i*i, nil)
		wg.Go(func() {
			seen, lost, last := 0, uint64(0), -1
			for {
				v, n, err := s.Next(context.Background())
				if err != nil {
					break
				}
				if v != last+1+int(n) {
					t.Errorf("%d after %d with %d lost", v, last, n)
				}
				seen, lost, last = seen+1, lost+n, v
			}
			if seen+int(lost) != sent {
				t.Errorf("saw %d and lost %d of %d", seen, lost, sent)
			}
		})
	}
	for n := range sent {
		feed.Publish(n)
	}
	feed.Close()
	wg.Wait()
}

func ExampleFeed() {
	feed := events.NewFeed[string]()
	sub := feed.Subscribe(8, nil)
	defer sub.Close()
	feed.Publish("door opened")
	what, lost, _ := sub.Next(context.Background())
	fmt.Println(what, lost)
	// Output: door opened 0
}
