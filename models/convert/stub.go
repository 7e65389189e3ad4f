package convert

import "errors"

var errNotYet = errors.New("convert network: not built yet")
