// Package v4l2 is the camera driver for webcams of Linux, on top of
// blackjack/webcam.
package v4l2

import (
	"context"
	"errors"
	"net/url"

	"github.com/cypherface/edge/camera"
)

var _ camera.Driver = Open

// Open opens the device that u names: v4l2:/dev/video0?size=1280x720&format=mjpg&fps=30.
func Open(ctx context.Context, u *url.URL) (camera.Source, error) {
	return nil, errors.New("open webcam: not supported on this system")
}
