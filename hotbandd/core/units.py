"""Types of the fields that documents are made of: what each may be, in which unit; descriptions enter the schemas."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

YEAR_SEC: Final = 31_536_000

Flag = Annotated[Literal[0, 1], Meta(description="1: yes, 0: no.")]
Unit = Annotated[float, Meta(ge=0.0, le=1.0, description="A share of 1.")]
Count = Annotated[int, Meta(ge=0, description="A number of things.")]
Millis = Annotated[int, Meta(ge=0, description="A moment, UTC epoch, ms.")]
Slot = Annotated[int, Meta(ge=0, description="The slot that it is of, UTC epoch, ms.")]
Nanos = Annotated[int, Meta(ge=0, description="A moment, UTC epoch, ns.")]
Minutes = Annotated[float, Meta(ge=0.0, description="A span of time, min.")]
Price = Annotated[float, Meta(gt=0.0, description="A price, quote currency per unit of the base currency.")]
LogReturn = Annotated[float, Meta(description="A sum of log returns after cost.")]
Bps = Annotated[float, Meta(ge=0.0, description="Basis points, 1/10 000 of the price.")]
AboveZero = Annotated[float, Meta(gt=0.0, description="Basis points.")]
Buffer = Annotated[float, Meta(ge=0.0, le=0.30, description="A share of the floor.")]
Weight = Annotated[float, Meta(ge=0.0, le=1.0, description="A share of the book.")]
Epoch = Annotated[
    int, Meta(ge=0, description="Epoch of the writer's lease. Reject a document of a lower one than you have seen.")
]
Seq = Annotated[int, Meta(ge=0, description="Place in the order of this document's publications of one epoch.")]
Name = Annotated[
    str, Meta(pattern="^[A-Z0-9]{2,12}_[A-Z0-9]{2,12}$", description="An instrument: base and quote currency.")
]
ParamKey = Annotated[str, Meta(description="Name of a set of parameters; what differs from the defaults, among them.")]
Hazard = Annotated[Unit, Meta(description="Probability of a rupture within a minute.")]
Signature = Annotated[str, Meta(description="The metrics in coarse steps, as text: what repeats.")]
State = Annotated[
    Literal["live", "collapsed"], Meta(description="collapsed: rupture is so high that the window is broken.")
]
