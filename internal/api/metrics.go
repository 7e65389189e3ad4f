package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cypherface/edge/store"
)

// observer counts what the API and the journal see. Labels are routes, words and
// numbers of the program, never ids.
type observer struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	decisions *prometheus.CounterVec
	commits   prometheus.Counter
	events    *prometheus.CounterVec
}

func newObserver(reg prometheus.Registerer) (*observer, error) {
	o := &observer{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cypherface_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cypherface_http_request_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.001, .005, .02, .05, .1, .25, 1, 5, 30},
		}, []string{"route"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cypherface_decisions_total", Help: "Decisions about faces, by what was tried and how it ended.",
		}, []string{"action", "outcome"}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cypherface_store_commits_total", Help: "Durable changes of the store.",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cypherface_events_total", Help: "Events appended to the journal, by kind.",
		}, []string{"kind"}),
	}
	for _, c := range []prometheus.Collector{o.requests, o.seconds, o.decisions, o.commits, o.events} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// answered counts a request; a path that nobody serves has the route "none".
func (o *observer) answered(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	o.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	o.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (o *observer) committed(commit store.Commit) {
	o.commits.Inc()
	for _, e := range commit.Events {
		o.events.WithLabelValues(string(e.Kind)).Inc()
		if e.Kind == store.EventDecision {
			o.decisions.WithLabelValues(e.Action, string(e.Outcome)).Inc()
		}
	}
}

// metrics is GET /metrics, in the text format of Prometheus.
func (a *API) metrics(c *call) error {
	promhttp.HandlerFor(a.Gather, promhttp.HandlerOpts{}).ServeHTTP(c.w, c.r)
	return nil
}

// health is GET /healthz: the process answers.
func (a *API) health(c *call) error {
	return c.reply(http.StatusOK, map[string]string{"status": "ok"})
}
