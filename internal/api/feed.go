package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/events"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// Times of an event stream. The credential is looked at again with each ping, so
// that a revoked key does not go on listening.
const (
	hello      = 10 * time.Second // for the first message with a credential
	pingEvery  = 20 * time.Second
	pongWithin = 45 * time.Second
	writeLimit = 10 * time.Second
)

const (
	maxStreams   = 64  // at a time
	streamBuffer = 256 // notices that wait for a reader before he is too slow
)

// Close codes of our own, after the HTTP statuses they stand for.
const (
	closeUnauthorized = 4401
	closeForbidden    = 4403
)

// notice is one message of the event stream. Ids only; the name is there for
// those who asked for it and may have it.
type notice struct {
	Type       store.EventKind    `json:"type"`
	Seq        uint64             `json:"seq,omitempty"` // in the journal; 0 for what is not kept
	Time       time.Time          `json:"time"`
	UserID     store.PersonID     `json:"userId,omitempty"`
	Name       string             `json:"name,omitempty"`
	DoorID     store.DoorID       `json:"doorId,omitempty"`
	Action     string             `json:"action,omitempty"`
	Outcome    store.Outcome      `json:"outcome,omitempty"`
	Reasons    []string           `json:"reasons,omitempty"`
	Counters   map[string]float64 `json:"counters,omitempty"`
	RequestID  string             `json:"requestId,omitempty"`
	DeviceID   store.DeviceID     `json:"deviceId,omitempty"` // of a box, at its central
	Ask        string             `json:"ask,omitempty"`      // what the person could do, for a screen
	Move       string             `json:"move,omitempty"`     // … in one word, where it is part of a challenge
	merchantID store.MerchantID   // whose it is; "" for all
}

// shown are the kinds of the journal that the stream carries. Changes of records
// are for replication, not for people.
var shown = map[store.EventKind]bool{
	store.EventDecision: true, store.EventEncounter: true, store.EventEnrolment: true, store.EventErasure: true,
	store.EventLiveness: true, store.EventConsent: true, store.EventDoor: true, store.EventSystem: true, store.EventGap: true,
}

// committed passes on what an Update brought.
func (a *API) committed(commit store.Commit) {
	a.seen.committed(commit)
	for _, e := range commit.Events {
		a.sightings.Observe(&e)
		if shown[e.Kind] {
			a.feed.Publish(noticeOf(&e))
		}
	}
}

func noticeOf(e *store.Event) notice {
	counters := e.Counters
	if e.Door != "" { // who listens may show it to the person there
		counters = maps.Clone(counters)
		delete(counters, "confidence")
	}
	return notice{
		Type: e.Kind, Seq: e.Seq, Time: e.Time.UTC(), UserID: e.Person, DoorID: e.Door, Action: e.Action,
		Outcome: e.Outcome, Reasons: e.Reasons, Counters: counters, RequestID: e.Request, merchantID: e.Merchant,
	}
}

// CameraChanged tells the listeners that the camera came or went; status is one
// word.
func (a *API) CameraChanged(status string) {
	a.feed.Publish(notice{Type: store.EventSystem, Time: a.now().UTC(), Action: "camera", Reasons: []string{status}})
}

// events is GET /events: a websocket that sends each event of the merchant as
// one JSON text. Who cannot set headers, as a browser, sends
// {"authorization":"Bearer …"} first.
func (a *API) events(c *call) error {
	err := c.authorize(auth.EventsRead)
	late := errors.Is(err, auth.ErrUnauthorized) && c.r.Header.Get("Authorization") == ""
	switch {
	case err != nil && !late:
		return err
	case !websocket.IsWebSocketUpgrade(c.r):
		return web.Fail(http.StatusBadRequest, "this path is a websocket; connect with the Upgrade header")
	case a.feed.Subscribers() >= maxStreams:
		return web.Fail(http.StatusServiceUnavailable, "too many listeners")
	}
	upgrader := websocket.Upgrader{HandshakeTimeout: hello, Error: func(http.ResponseWriter, *http.Request, int, error) {}}
	conn, err := upgrader.Upgrade(c.w, c.r, nil)
	if err != nil {
		return web.Fail(http.StatusBadRequest, "the websocket handshake failed").Because(err)
	}
	a.streams.Add(1)
	defer a.streams.Done()
	defer conn.Close()
	conn.SetReadLimit(8 << 10)
	// The deadline of a request is not that of a stream.
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx()))
	defer cancel()
	c.r = c.r.WithContext(ctx)
	code, reason := a.stream(c, conn, cancel, late)
	message := websocket.FormatCloseMessage(code, reason)
	_ = conn.WriteControl(websocket.CloseMessage, message, time.Now().Add(time.Second)) // it may be gone
	return nil
}

// stream serves one listener to its end and says why it ended.
func (a *API) stream(c *call, conn *websocket.Conn, cancel func(), late bool) (code int, reason string) {
	if late {
		if err := firstMessage(c, conn, auth.EventsRead); err != nil {
			return closeCode(err)
		}
	}
	names := c.r.URL.Query().Get("names") != ""
	if names {
		if err := c.Require(auth.UsersRead); err != nil {
			return closeCode(err)
		}
	}
	merchant := c.Merchant
	device := store.DeviceID(c.r.URL.Query().Get("deviceId"))
	sub := a.feed.Subscribe(streamBuffer, func(n notice) bool {
		return (n.merchantID == "" || n.merchantID == merchant) && (device == "" || n.DeviceID == device)
	})
	defer sub.Close()
	go drain(conn, cancel)
	return a.send(c, conn, sub, names)
}

// firstMessage authorizes by what the listener sends first.
func firstMessage(c *call, conn *websocket.Conn, takes auth.Permission) error {
	_ = conn.SetReadDeadline(time.Now().Add(hello)) // fails only where the read will
	_, b, err := conn.ReadMessage()
	var in struct {
		Authorization string `json:"authorization"`
	}
	if err != nil || json.Unmarshal(b, &in) != nil {
		return auth.ErrUnauthorized
	}
	c.r.Header.Set("Authorization", in.Authorization)
	return c.authorize(takes)
}

func closeCode(err error) (int, string) {
	switch {
	case errors.Is(err, auth.ErrUnauthorized):
		return closeUnauthorized, "a valid API key or token of this environment is required"
	case errors.Is(err, auth.ErrForbidden), errors.Is(err, auth.ErrSuspended):
		return closeForbidden, "this credential may not do that"
	}
	return websocket.CloseInternalServerErr, "internal error"
}

// drain reads what a listener sends, which is nothing but pongs, until it goes.
func drain(conn *websocket.Conn, cancel func()) {
	defer cancel()
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(pongWithin)) }
	conn.SetPongHandler(alive)
	if alive("") != nil {
		return
	}
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

// send writes the notices as they come, a ready message before them, and pings.
func (a *API) send(c *call, conn *websocket.Conn, sub *events.Subscription[notice], names bool) (int, string) {
	write := func(v any) error {
		_ = conn.SetWriteDeadline(time.Now().Add(writeLimit)) // fails only where the write will
		return conn.WriteJSON(v)
	}
	err := write(map[string]any{"type": "ready", "time": a.now().UTC(), "environment": a.info.Environment})
	for err == nil {
		wait, stop := context.WithTimeout(c.ctx(), pingEvery)
		n, lost, nextErr := sub.Next(wait)
		stop()
		switch {
		case errors.Is(nextErr, events.ErrClosed):
			return websocket.CloseGoingAway, "the box is stopping"
		case c.ctx().Err() != nil:
			return websocket.CloseNormalClosure, ""
		case nextErr != nil:
			if authErr := c.authorize(auth.EventsRead); authErr != nil {
				return closeCode(authErr)
			}
			err = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeLimit))
		case lost > 0:
			return websocket.CloseTryAgainLater, "the reader is too slow"
		default:
			if names {
				n.Name = a.name(c.ctx(), n.UserID)
			}
			err = write(n)
		}
	}
	return websocket.CloseAbnormalClosure, ""
}

// name is what a person is called, "" if he is gone.
func (a *API) name(ctx context.Context, id store.PersonID) string {
	if id == "" {
		return ""
	}
	var p store.Person
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		p, err = store.Get[store.Person](tx, id)
		return err
	})
	if err != nil {
		return ""
	}
	return p.Firstname + " " + p.Lastname
}
