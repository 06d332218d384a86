package attempt

import "errors"

// ErrTooLarge is, in the sense of errors.Is, every error that says that the backend might take less, whatever code and words it has for
// clients: an exporter may well tell these that their data is refused, lest they send it again as it is.
var ErrTooLarge = errors.New("the request is larger than the backend takes")
