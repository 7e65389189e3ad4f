package web

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Limiter bounds how often something happens for each of many names, such as
// addresses or keys: Rate a second in the long run, Burst at once. It is safe for
// concurrent use. A nil Limiter bounds nothing.
type Limiter struct {
	rate  rate.Limit
	burst int
	clock func() time.Time

	mu    sync.Mutex // protects the fields below
	names map[string]*rate.Limiter
	swept time.Time
}

// Limits of a Limiter's memory: names that have been quiet for so long that they
// have their whole burst again are forgotten; when there are too many others, new
// ones share what one may do.
const (
	limiterSweep = time.Minute
	limiterNames = 20_000
)

// NewLimiter makes a Limiter; a rate of 0 or less makes none. A nil clock is
// time.Now.
func NewLimiter(perSecond float64, burst int, clock func() time.Time) *Limiter {
	if perSecond <= 0 {
		return nil
	}
	if clock == nil {
		clock = time.Now
	}
	return &Limiter{rate: rate.Limit(perSecond), burst: max(burst, 1), clock: clock, names: map[string]*rate.Limiter{}}
}

// Take counts one for a name. The error is 429 with the header Retry-After where
// there were too many.
func (l *Limiter) Take(w http.ResponseWriter, name string) error {
	if l == nil {
		return nil
	}
	now := l.clock()
	r := l.of(name, now).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return TooMany(w, wait)
}

// Wait is how long a name has to wait until it may take one; 0: it may now. It
// counts nothing.
func (l *Limiter) Wait(name string) time.Duration {
	if l == nil {
		return 0
	}
	now := l.clock()
	r := l.of(name, now).ReserveN(now, 1)
	defer r.CancelAt(now)
	return r.DelayFrom(now)
}

// TooMany is the error of a limit: 429, and when to come again.
func TooMany(w http.ResponseWriter, wait time.Duration) error {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(wait, time.Second).Seconds()))))
	return Fail(http.StatusTooManyRequests, "too many requests; come again after the time in Retry-After")
}

func (l *Limiter) of(name string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) > limiterSweep {
		l.swept = now
		for n, one := range l.names {
			if one.TokensAt(now) >= float64(l.burst) {
				delete(l.names, n)
			}
		}
	}
	one := l.names[name]
	if one == nil && len(l.names) >= limiterNames {
		name = "" // all others together
		one = l.names[name]
	}
	if one == nil {
		one = rate.NewLimiter(l.rate, l.burst)
		l.names[name] = one
	}
	return one
}

// Address is where a request comes from, without the port; of IPv6 the network of
// 64 bits, which one subscriber has whole.
func Address(r *http.Request) string { return network(r.RemoteAddr) }

func network(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.To4() != nil {
		return host
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}

// Crowded bounds how many connections a listener has at a time: most altogether,
// and each from one address, programs on the box itself excepted. Further ones
// are closed at once.
func Crowded(l net.Listener, most, each int) net.Listener {
	return &crowd{Listener: l, most: most, each: each, from: map[string]int{}}
}

type crowd struct {
	net.Listener
	most, each int

	mu   sync.Mutex // protects the fields below
	all  int
	from map[string]int
}

// Accept returns the next connection for which there is room.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		name := network(conn.RemoteAddr().String())
		if c.enter(name) {
			return &member{Conn: conn, leave: sync.OnceFunc(func() { c.leave(name) })}, nil
		}
		conn.Close()
	}
}

func (c *crowd) enter(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ip := net.ParseIP(name)
	if c.all >= c.most || c.from[name] >= c.each && (ip == nil || !ip.IsLoopback()) {
		return false
	}
	c.all++
	c.from[name]++
	return true
}

func (c *crowd) leave(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.from[name]--; c.from[name] <= 0 {
		delete(c.from, name)
	}
}

// member is a connection that is counted.
type member struct {
	net.Conn
	leave func()
}

func (m *member) Close() error {
	m.leave()
	return m.Conn.Close()
}
