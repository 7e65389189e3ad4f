package wire

// newMessage returns an empty message of a type, or nil.
func newMessage(t Type) Message {
	switch t {
	case TypeHello:
		return new(Hello)
	case TypeWelcome:
		return new(Welcome)
	case TypeEvents:
		return new(Events)
	case TypeEventsAck:
		return new(EventsAck)
	case TypeFeed:
		return new(Feed)
	case TypeSnapshot:
		return new(Snapshot)
	case TypeApplied:
		return new(Applied)
	case TypeCredits:
		return new(Credits)
	case TypePing:
		return new(Ping)
	case TypePong:
		return new(Pong)
	case TypeError:
		return new(Error)
	case TypeRevoke:
		return new(Revoke)
	case TypeTelemetry:
		return new(Telemetry)
	case TypeCheckpoint:
		return new(Checkpoint)
	}
	return nil
}

// Type says which message it is.
func (*Hello) Type() Type { return TypeHello }

func (m *Hello) walk(c *coder) {
	c.number((*uint64)(&m.Oldest))
	c.number((*uint64)(&m.Newest))
	c.text(&m.Device)
	c.fixed(m.Boot[:])
	c.number(&m.Epoch)
	c.number(&m.Head)
	c.text(&m.Central)
	c.number(&m.CentralEpoch)
	list(c, &m.Scopes, MaxScopes, func(b *Bookmark) {
		c.text(&b.Scope)
		c.number(&b.Rev)
		c.number(&b.Snapshot)
		c.text(&b.Cursor)
	})
	c.number(&m.Credits)
	c.signed(&m.Clock)
}

// Type says which message it is.
func (*Welcome) Type() Type { return TypeWelcome }

func (m *Welcome) walk(c *coder) {
	c.number((*uint64)(&m.Protocol))
	c.text(&m.Central)
	c.fixed(m.Fingerprint[:])
	c.number(&m.Epoch)
	c.number(&m.Head)
	list(c, &m.Scopes, MaxScopes, func(s *ScopeState) {
		c.text(&s.Scope)
		c.number(&s.Head)
		c.flag(&s.Snapshot)
	})
	c.flag(&m.Hold)
	c.number(&m.Credits)
	c.number(&m.Ping)
	c.number(&m.Spread)
	c.signed(&m.Clock)
}

// Type says which message it is.
func (*Events) Type() Type { return TypeEvents }

func (m *Events) walk(c *coder) {
	c.number(&m.After)
	c.fixed(m.Prev[:])
	c.number(&m.Gone)
	list(c, &m.Events, MaxItems, func(e *Event) { e.walk(c) })
}

func (e *Event) walk(c *coder) {
	c.bytes(&e.Raw, MaxHeader)
	c.bytes(&e.Personal, MaxHeader)
	c.bytes(&e.Receipt, 64)
	has := e.Edit != nil
	if c.flag(&has); !has {
		return
	}
	if c.read {
		e.Edit = new(Edit)
	}
	x := e.Edit
	c.small((*uint8)(&x.Op), uint8(OpAbsent))
	c.text(&x.Kind)
	c.text(&x.ID)
	c.flag(&x.New)
	c.flag(&x.Again)
	c.flag(&x.Anew)
	c.number(&x.BaseEpoch)
	c.number(&x.Base)
	list(c, &x.Fields, MaxFields, func(f *Field) {
		c.text(&f.Name)
		list(c, &f.Was, maxWas, func(d *Digest) { c.fixed(d[:]) })
	})
	c.bytes(&x.Header, MaxHeader)
	c.bytes(&x.Piece, MaxPiece)
}

// Type says which message it is.
func (*EventsAck) Type() Type { return TypeEventsAck }

func (m *EventsAck) walk(c *coder) {
	c.number(&m.Through)
	list(c, &m.Results, MaxItems, func(r *Result) {
		c.number(&r.Seq)
		c.small((*uint8)(&r.Merge), uint8(MergeRefused))
		list(c, &r.Lost, MaxFields, func(f *string) { c.text(f) })
	})
}

// Type says which message it is.
func (*Feed) Type() Type { return TypeFeed }

func (m *Feed) walk(c *coder) {
	c.text(&m.Scope)
	c.number(&m.After)
	c.number(&m.Head)
	c.number(&m.Merged)
	list(c, &m.Changes, MaxItems, func(x *Change) { x.walk(c) })
}

func (x *Change) walk(c *coder) {
	c.small((*uint8)(&x.Op), uint8(OpAbsent))
	if x.Op == OpLater {
		if c.number(&x.Run); x.Run > maxRun {
			c.bad("run")
		}
		return
	}
	c.text(&x.Kind)
	c.text(&x.ID)
	c.bytes(&x.Header, MaxHeader)
	c.bytes(&x.Piece, MaxPiece)
}

// Type says which message it is.
func (*Snapshot) Type() Type { return TypeSnapshot }

func (m *Snapshot) walk(c *coder) {
	c.text(&m.Scope)
	c.number(&m.Rev)
	c.text(&m.After)
	c.text(&m.Next)
	c.flag(&m.Last)
	c.number(&m.Head)
	c.number(&m.Merged)
	list(c, &m.Records, MaxItems, func(r *Record) {
		c.number(&r.Rev)
		r.Change.walk(c)
	})
}

// Type says which message it is.
func (*Applied) Type() Type { return TypeApplied }

func (m *Applied) walk(c *coder) {
	c.text(&m.Scope)
	c.number(&m.Rev)
	c.text(&m.Cursor)
}

// Type says which message it is.
func (*Credits) Type() Type { return TypeCredits }

func (m *Credits) walk(c *coder) { c.number(&m.More) }

// Type says which message it is.
func (*Ping) Type() Type { return TypePing }

func (m *Ping) walk(c *coder) {
	c.number(&m.Number)
	c.number(&m.Sent)
	c.flag(&m.Caught)
	c.number(&m.Spread)
}

// Type says which message it is.
func (*Pong) Type() Type { return TypePong }

func (m *Pong) walk(c *coder) {
	c.number(&m.Number)
	c.number(&m.Sent)
}

// Type says which message it is.
func (*Error) Type() Type { return TypeError }

func (m *Error) walk(c *coder) {
	c.small((*uint8)(&m.Code), 255)
	c.number(&m.Retry)
	c.text(&m.Text)
}

// Type says which message it is.
func (*Revoke) Type() Type { return TypeRevoke }

func (m *Revoke) walk(c *coder) { c.text(&m.Reason) }

// Type says which message it is.
func (*Telemetry) Type() Type { return TypeTelemetry }

func (m *Telemetry) walk(c *coder) {
	c.number(&m.Dropped)
	list(c, &m.Readings, MaxReadings, func(r *Reading) {
		c.text(&r.Name)
		c.float(&r.Value)
		c.number(&r.Age)
	})
}

// Type says which message it is.
func (*Checkpoint) Type() Type { return TypeCheckpoint }

func (m *Checkpoint) walk(c *coder) { c.bytes(&m.Note, MaxNote) }
