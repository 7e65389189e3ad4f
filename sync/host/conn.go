package host

import (
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/sync/wire"
)

// How long a message may take to be written unless a config says otherwise, and how
// many may wait to be: credits keep both sides well below.
const (
	writeLimit = 30 * time.Second
	queueLen   = 256
)

var errSlow = errors.New("the other side takes nothing any more")

// conn is a connection with its writer. The zero conn is none.
type conn struct {
	ws    *websocket.Conn
	limit time.Duration     // to write a message
	queue chan wire.Message // nil ends it, after what was queued before
	gone  chan struct{}     // closed when nothing is read any more
}

// newConn begins to write; what goes wrong ends the connection, which its reader
// then notices.
func newConn(ws *websocket.Conn, limit time.Duration) *conn {
	ws.SetReadLimit(wire.MaxFrame)
	c := &conn{ws: ws, limit: limit, queue: make(chan wire.Message, queueLen), gone: make(chan struct{})}
	go c.write()
	return c
}

func (c *conn) write() {
	defer c.ws.Close()
	for {
		var m wire.Message
		select {
		case m = <-c.queue:
		case <-c.gone:
			return
		}
		if m == nil {
			_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second)) // it may be gone
			return
		}
		frame, err := wire.Encode(m)
		if err == nil {
			_ = c.ws.SetWriteDeadline(time.Now().Add(c.limit)) // fails only where the write will
			err = c.ws.WriteMessage(websocket.BinaryMessage, frame)
		}
		if err != nil {
			return
		}
	}
}

// send queues a message, or nil to end the connection. It never waits.
func (c *conn) send(m wire.Message) error {
	select {
	case c.queue <- m:
		return nil
	default:
		c.ws.Close()
		return errSlow
	}
}

// read calls got for each message until the connection ends or got returns false.
// It is called once, and ends the writer.
func (c *conn) read(got func(wire.Message) bool) error {
	defer close(c.gone)
	for {
		kind, frame, err := c.ws.ReadMessage()
		if err != nil {
			return err
		}
		if kind != websocket.BinaryMessage {
			return wire.ErrMalformed
		}
		m, err := wire.Decode(frame)
		if errors.Is(err, wire.ErrSkip) {
			continue
		} else if err != nil {
			return err
		}
		if !got(m) {
			return nil
		}
	}
}
